"""The engines `minijinja…`: MiniJinja, the Jinja of servers written in Rust, with the settings of four hosts.

All run MiniJinja 3.1 as its Python package carries it. The three servers pin versions 2.x, which differ in how they
print booleans, null and containers outside of `tojson` (`true`, `none`); that is not imitated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, NoReturn

from conformance.engines.base import (
    Crashed,
    Engine,
    Outcome,
    Rejected,
    Rendered,
    Request,
    SyntaxProblem,
    cut_by_caller,
    register,
)
from conformance.engines.jinja_common import SPECIAL_TOKENS, FrozenClock, describe
from conformance.engines.minijinja_values import (
    FORMATTER,
    LARGEST,
    SMALLEST,
    literal,
    python_json,
    serde_json,
    with_formatter,
    with_generation,
)
from conformance.engines.request_numbers import (
    LARGEST_64,
    SMALLEST_64,
    argument_numbers,
    default_numbers,
    default_survives_as_float,
)

_CHAT = "chat"
_BOS_EOS = {name: SPECIAL_TOKENS[name] for name in ("bos_token", "eos_token")}


class _RaisedError(Exception):
    """What `raise_exception` raises; MiniJinja lets it through."""


@register
class MiniJinjaEngine(Engine):
    """MiniJinja set up as closely to transformers as it can be.

    Blocks are trimmed, Python's methods of strings and dicts work, `tojson` is Python's json.dumps without escapes
    (also with its keyword arguments), the tag `generation` writes its body. Absent tools stay absent: in MiniJinja
    `none is iterable` holds. A number as text, for instance `x ~ ''`, is never written with an exponent.
    """

    name: ClassVar[str] = "minijinja"
    trims: ClassVar[bool] = True
    smallest: ClassVar[int] = SMALLEST
    largest: ClassVar[int] = LARGEST
    special_tokens: ClassVar[dict[str, str]] = SPECIAL_TOKENS
    tools_when_absent: ClassVar[dict[str, None]] = {}

    def __init__(self) -> None:
        self._clock = FrozenClock()
        self._compile = lru_cache(maxsize=128)(self._compile_anew)
        self._environment: Callable[..., Any] = _not_loaded
        self._error: type[Exception] = Exception

    def version(self) -> str:
        """Return the installed version of MiniJinja."""
        return version("minijinja")

    def available(self) -> str | None:
        """Return how to install MiniJinja when it is missing."""
        try:
            version("minijinja")
        except PackageNotFoundError:
            return 'minijinja is not installed: pip install "chat-template-conformance[engines]"'
        return None

    def loses(self, request: Request) -> str | None:
        """Return that an integer becomes a float which is written in another way, that the prompt is cut, or None.

        In a default a float is no loss where Harmony, which reads it with serde_json, makes the same one of it.
        """
        if (cut := cut_by_caller(request)) is not None:
            return cut
        if any(map(self._too_large, argument_numbers(request))):
            return f"an integer outside of {self.smallest} to {self.largest} in arguments"
        if any(
            self._too_large(number) and not default_survives_as_float(int(number))
            for number in default_numbers(request)
        ):
            return f"an integer outside of {self.smallest} to {self.largest} in a default"
        return None

    def _too_large(self, number: float) -> bool:
        return isinstance(number, int) and not self.smallest <= number <= self.largest

    def load(self) -> None:
        """Import MiniJinja."""
        minijinja: Any = import_module("minijinja")
        self._environment = minijinja.Environment
        self._error = minijinja.TemplateError

    def prepare(self, template: str) -> str:
        """Return the template as the host hands it to MiniJinja."""
        return with_generation(template)

    def tojson(self, text: str, **options: Any) -> str:
        """Return JSON text as the host's `tojson` writes it with the options of the call."""
        return python_json(text, **options)

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters that the host adds, beside `tojson`."""
        return {}

    def compile_check(self, template: str) -> SyntaxProblem | None:
        """Return what keeps MiniJinja from compiling the template, or None."""
        try:
            self._compile(template)
        except self._error as error:
            return SyntaxProblem(_message(error), getattr(error, "line", None))
        return None

    def render(self, template: str, request: Request) -> Outcome:
        """Render one request.

        Raises MemoryError when the worker's limit is reached.
        """
        self._clock.set(request.moment)
        try:
            environment = self._compile(template)
            context = self._context(request)
            text = environment.render_str(context)
        except _RaisedError as error:
            return Rejected(describe(error), self._line_of_rejection(environment, context))
        except self._error as error:
            line = getattr(error, "line", None)
            return Crashed(
                getattr(error, "kind", "TemplateError"),
                _message(error),
                line if getattr(error, "name", None) == _CHAT else None,
            )
        return Rendered(text)

    def _context(self, request: Request) -> str:
        """Return a template that sets the variables and then becomes the chat template."""
        variables: dict[str, Any] = {
            **self.special_tokens,
            **self.tools_when_absent,
            **request.kwargs,
            "messages": request.messages,
            "add_generation_prompt": request.add_generation_prompt,
        }
        if request.tools is not None:
            variables["tools"] = request.tools
        settings = (
            f"{{% set {name} = {literal(value, self.smallest, self.largest)} %}}"
            for name, value in variables.items()
            if name.isidentifier()  # no template can read another
        )
        return "".join(settings) + f"{{% extends '{_CHAT}' %}}"

    def _line_of_rejection(self, environment: Any, context: str) -> int | None:
        """Return the line of the call of raise_exception: without that function MiniJinja fails there itself."""
        environment.remove_global("raise_exception")
        try:
            environment.render_str(context)
        except self._error as error:
            place = (getattr(error, "name", None), getattr(error, "kind", None))
            # The second kind is the one inside macros.
            if place in ((_CHAT, "UnknownFunction"), (_CHAT, "InvalidOperation")):
                line: int | None = getattr(error, "line", None)
                return line
        except Exception:  # the template took another way, where something of Python's failed
            return None
        finally:
            environment.add_global("raise_exception", _raise_exception)
        return None

    def _compile_anew(self, template: str) -> Any:
        environment = self._environment(trim_blocks=self.trims, lstrip_blocks=self.trims)
        environment.add_global("raise_exception", _raise_exception)
        environment.add_global("strftime_now", self._clock.strftime_now)
        environment.add_filter(FORMATTER, self.tojson)
        for name, function in self.filters().items():
            environment.add_filter(name, function)
        environment.add_template(_CHAT, with_formatter(self.prepare(template)))
        return environment


@register
class TgiEngine(MiniJinjaEngine):
    """MiniJinja as text-generation-inference sets it up.

    Nothing is trimmed; `tojson` is MiniJinja 2's: compact, with `<>&'` escaped; the tag `generation` is unknown;
    absent tools are none. Source: huggingface/text-generation-inference, router/src/infer/chat_template.rs
    (`ChatTemplate::new`, `apply`) and `ChatTemplateInputs` in router/src/lib.rs.
    """

    name: ClassVar[str] = "minijinja-tgi"
    shapes: ClassVar[tuple[str, ...]] = ("tgi",)
    trims: ClassVar[bool] = False
    smallest: ClassVar[int] = SMALLEST_64
    largest: ClassVar[int] = LARGEST_64
    special_tokens: ClassVar[dict[str, str]] = _BOS_EOS
    tools_when_absent: ClassVar[dict[str, None]] = {"tools": None}

    def prepare(self, template: str) -> str:
        """Return the template as it is."""
        return template

    def tojson(self, text: str, **options: Any) -> str:
        """Return compact JSON, escaped for HTML; any option but `indent` is an error."""
        return serde_json(text, compact=True, html_safe=True, **options)


class _CuttingGeneration(MiniJinjaEngine):
    """What mistral.rs and Dynamo share: 64-bit integers, two special tokens, and no `{% generation %}`."""

    smallest: ClassVar[int] = SMALLEST_64
    largest: ClassVar[int] = LARGEST_64
    special_tokens: ClassVar[dict[str, str]] = _BOS_EOS

    def prepare(self, template: str) -> str:
        """Return the template without the tags where they are written exactly so."""
        if "{% generation %}" in template and "{% endgeneration %}" in template:
            return template.replace("{% generation %}", "").replace("{% endgeneration %}", "")
        return template


@register
class MistralRsEngine(_CuttingGeneration):
    """MiniJinja as mistral.rs sets it up.

    Blocks are trimmed; `tojson` is compact, with `<>&'` escaped, and knows `indent` only; `{% generation %}` is
    cut out where it is written exactly so. Source: EricLBuehler/mistral.rs,
    mistralrs-core/src/pipeline/chat_template.rs (`apply_chat_template_to`, `tojson`).
    """

    name: ClassVar[str] = "minijinja-mistralrs"

    def tojson(self, text: str, **options: Any) -> str:
        """Return compact JSON, escaped for HTML; options other than `indent` are ignored."""
        return serde_json(text, indent=options.get("indent"), compact=True, html_safe=True)


@register
class DynamoEngine(_CuttingGeneration):
    """MiniJinja as NVIDIA Dynamo sets it up.

    Blocks are trimmed; `tojson` has Python's blanks and no escapes, but writes floats as Rust does (1e20), and knows
    `indent` only; `length` of what has none is 0; `{% generation %}` is cut out where it is written exactly so.
    Source: ai-dynamo/dynamo, lib/llm/src/preprocessor/prompt/template/formatters.rs (`with_options`) and tokcfg.rs
    (`tojson`).
    """

    name: ClassVar[str] = "minijinja-dynamo"

    def tojson(self, text: str, **options: Any) -> str:
        """Return JSON with blanks; options other than `indent` are ignored."""
        return serde_json(text, indent=options.get("indent"), compact=False, html_safe=False)

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return `length`, which here never fails."""
        return {"length": _length}


def _length(value: Any) -> int:
    try:
        return len(value)
    except TypeError:
        return 0


def _raise_exception(message: Any = "") -> NoReturn:
    raise _RaisedError(message)


def _message(error: Exception) -> str:
    return str(getattr(error, "detail", None) or getattr(error, "message", None) or error)


def _not_loaded(*_: Any, **__: Any) -> Any:
    raise RuntimeError("load() was not called")
