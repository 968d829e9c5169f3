"""The engine behind response templates: transformers' own `parse_response`, in a worker.

A response template is a stranger's regular expressions, so it runs where templates do. It is not registered: it reads
what was written, instead of writing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

from conformance.engines.base import Crashed, Outcome, Rendered, Request, SyntaxProblem
from conformance.engines.transformers_jinja import InstalledTransformers
from conformance.errors import UnjudgedError


class ResponseEngine(InstalledTransformers):
    """Parses `response` behind `prefix`, both given as a request's options; renders the message as JSON.

    The template is the response template as JSON.
    """

    name: ClassVar[str] = "transformers-responses"

    def __init__(self) -> None:
        self._parse: Callable[..., Any] | None = None
        self._load: Callable[[str], Any] = lru_cache(maxsize=8)(self._load_anew)

    def load(self) -> None:
        """Import transformers' parser.

        Raises UnjudgedError when the installed version has none.
        """
        try:
            from transformers.utils.chat_parsing import parse_response
            from transformers.utils.chat_parsing.response_templates import load_response_template
        except ImportError as error:
            raise UnjudgedError(
                f"The installed transformers {self.version()} cannot parse responses ({error}); install 5.24 or newer."
            ) from None
        self._parse = parse_response
        self._read = load_response_template

    def compile_check(self, template: str) -> SyntaxProblem | None:
        """Return what keeps transformers from reading the response template, or None."""
        try:
            self._load(template)
        except MemoryError:
            raise
        except Exception as error:  # a stranger's patterns may fail in any way
            return SyntaxProblem(str(error).split("\n")[0], None)
        return None

    def render(self, template: str, request: Request) -> Outcome:
        """Return the message that the parser makes of one response."""
        assert self._parse is not None
        try:
            message = self._parse(
                request.kwargs["response"], self._load(template), prefix=request.kwargs["prefix"]
            )
            # Python's own writer keeps NaN, which its reader took.
            return Rendered(json.dumps(message))
        except MemoryError:
            raise
        except Exception as error:
            return Crashed(type(error).__name__, str(error).split("\n")[0], None)

    def _load_anew(self, template: str) -> Any:
        return self._read(json.loads(template))
