"""The engine `jinja2`: the usual chat template environment without transformers' rewriting of messages."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, ClassVar, NoReturn

import jinja2
import jinja2.ext
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from conformance.engines.base import Engine, Outcome, Request, SyntaxProblem, cut_by_caller, register
from conformance.engines.jinja_common import (
    SPECIAL_TOKENS,
    FrozenClock,
    compile_problem,
    failed,
    like_the_hosts,
    rendered,
)


class Generation(jinja2.ext.Extension):
    """The tag `{% generation %}`, which marks what the assistant wrote; here it just writes its body."""

    tags = {"generation"}  # noqa: RUF012 (Jinja declares it so)

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        """Return the body as a call block, as transformers does, so that scoping is the same."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_write"), [], [], body).set_lineno(line)

    def _write(self, caller: jinja2.runtime.Macro) -> str:
        return caller()


@register
class PlainJinja2Engine(Engine):
    """Hands the messages to the template as they are, as servers without (or with older) transformers do.

    The environment has transformers' settings: trimmed blocks, the immutable sandbox, loop controls, the tag
    `generation`, a `tojson` without HTML escapes, `raise_exception`, `strftime_now`, and the gpt-oss special
    tokens as variables. Absent tools and documents are None, as there.
    """

    name: ClassVar[str] = "jinja2"

    def __init__(self) -> None:
        self._clock = FrozenClock()
        self._compile = lru_cache(maxsize=128)(self._compile_anew)

    def version(self) -> str:
        """Return the installed version of Jinja2."""
        return jinja2.__version__

    def loses(self, request: Request) -> str | None:
        """Return that the prompt would have to be cut, or None."""
        return cut_by_caller(request)

    def load(self) -> None:
        """Render once, so that Jinja's lazy imports are done before any limit holds."""
        probe = Request([], None, {}, False, "2024-02-29")
        self.render("{{ strftime_now('%Y') }}{{ raise_exception('x') }}", probe)

    def compile_check(self, template: str) -> SyntaxProblem | None:
        """Return what keeps Jinja2 from compiling the template, or None."""
        return compile_problem(self._compile, template)

    def render(self, template: str, request: Request) -> Outcome:
        """Render one request.

        Raises MemoryError when the worker's limit is reached.
        """
        self._clock.set(request.moment)
        try:
            # A keyword of the caller wins over a special token, as in transformers.
            variables: dict[str, Any] = {**SPECIAL_TOKENS, **request.kwargs}
            text = self._compile(template).render(
                messages=request.messages,
                tools=request.tools,
                documents=None,
                add_generation_prompt=request.add_generation_prompt,
                **variables,
            )
        except MemoryError:
            raise
        except Exception as error:
            return failed(error)
        return rendered(text)

    def _compile_anew(self, template: str) -> jinja2.Template:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = like_the_hosts(_raise_exception)
        environment.globals["strftime_now"] = self._clock.strftime_now
        return environment.from_string(template)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _tojson(
    x: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
