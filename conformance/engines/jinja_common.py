"""What the two Jinja2 engines share: the frozen clock, the special tokens, the reading of exceptions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from jinja2.exceptions import TemplateError, TemplateSyntaxError

from conformance.engines.base import Crashed, Outcome, Rejected, Rendered, SyntaxProblem

Helper = TypeVar("Helper", bound=Callable[..., Any])

# What `special_tokens_map` holds for openai/gpt-oss-20b and -120b (their tokenizer_config.json); a tokenizer
# passes them to every template as variables.
SPECIAL_TOKENS = {"bos_token": "<|startoftext|>", "eos_token": "<|return|>", "pad_token": "<|endoftext|>"}

# The file name that Jinja's rewritten tracebacks give to a template compiled from a string.
_TEMPLATE_FILE = "<template>"


class FrozenClock:
    """A clock that stands still; mutable, because compiled templates keep its `strftime_now`."""

    def __init__(self) -> None:
        self._now = datetime(1970, 1, 1, 12)

        def strftime_now(format: str) -> str:
            return self._now.strftime(format)

        self.strftime_now = like_the_hosts(strftime_now)

    def set(self, moment: datetime) -> None:
        """Set the clock."""
        self._now = moment


def like_the_hosts(helper: Helper) -> Helper:
    """Return a function that templates are given under the name that transformers' own has, should they print it."""
    name = helper.__name__.removeprefix("_")
    helper.__name__, helper.__qualname__ = name, f"_compile_jinja_template.<locals>.{name}"
    helper.__module__ = "transformers.utils.chat_template_utils"
    return helper


def template_line(traceback: TracebackType | None) -> int | None:
    """Return the line of the innermost template frame, which inside a macro is the macro's own line."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == _TEMPLATE_FILE:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def describe(error: BaseException) -> str:
    """Return the message of an exception as text that can be sent; never raises."""
    try:
        return str(error)
    except Exception:  # a template can raise with a value whose text cannot be made
        return f"({type(error).__name__} without a readable message)"


def rendered(text: object) -> Outcome:
    """Return the outcome of a rendering that came to its end."""
    if not isinstance(text, str):
        return Crashed("TypeError", f"the engine returned {type(text).__name__} instead of text", None)
    return Rendered(text)


def failed(error: Exception) -> Outcome:
    """Return the outcome of a rendering that ended in an exception.

    Only `raise_exception` raises a TemplateError that is no subclass; Jinja's own errors all are subclasses.
    """
    line = template_line(error.__traceback__)
    if type(error) is TemplateError:
        return Rejected(describe(error), line)
    if isinstance(error, TemplateSyntaxError):
        line = error.lineno
    return Crashed(type(error).__name__, describe(error), line)


def compile_problem(compile: Callable[[str], object], template: str) -> SyntaxProblem | None:
    """Return what keeps a template from being compiled, or None; raises MemoryError at the worker's limit."""
    try:
        compile(template)
    except MemoryError:
        raise
    except Exception as error:
        return syntax_problem(error)
    return None


def syntax_problem(error: Exception) -> SyntaxProblem:
    """Return why compiling ended in an exception.

    Beside Jinja's own errors these are Python's limits on the compiled code: nesting, size, recursion.
    """
    if isinstance(error, TemplateSyntaxError):
        return SyntaxProblem(error.message or type(error).__name__, error.lineno)
    return SyntaxProblem(f"{type(error).__name__}: {describe(error)}", None)
