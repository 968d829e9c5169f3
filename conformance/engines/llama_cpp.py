"""The engines `llama.cpp` and `llama.cpp-raw`: llama.cpp's own Jinja engine, with and without its normaliser."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from conformance.engines.base import (
    Crashed,
    Engine,
    LimitExceeded,
    Outcome,
    Rejected,
    Rendered,
    Request,
    SyntaxProblem,
    cut_by_caller,
    register,
)
from conformance.engines.jinja_common import SPECIAL_TOKENS
from conformance.engines.llama_cpp_wasm import (
    BUILD,
    MEMORY_BYTES,
    Instance,
    Program,
    TrapError,
    read_wasm,
    wasm_file,
)
from conformance.engines.request_numbers import (
    LARGEST_64,
    SMALLEST_64,
    argument_numbers,
    default_numbers,
    default_survives_as_float,
    serde_reads,
)
from conformance.errors import UnjudgedError

# llama.cpp keeps integers in 64 signed bits (2^63 becomes negative). Of a float its `tojson` writes six digits and its
# `~` six decimals; nothing in a template writes more.
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_LOST_INTEGER = "an integer outside of 64 signed bits"
_LOST_FLOAT = "a float that neither six digits nor six decimals hold"
_WAY_OUT = 'pip install "chat-template-conformance[engines]"'
# What llama.cpp takes out of templates before it compiles them (common/chat.cpp, pull 15230).
_SAYS = '"<|channel|>%s<|message|>" in message.content'
GUARD = "{%- if " + _SAYS % "analysis" + " or " + _SAYS % "final" + " %}"
NO_GUARD = "{%- if false %}"
_LINE = re.compile(r"^While executing \w+ at line (\d+), column \d+ in source:$", re.MULTILINE)
_RAISE = re.compile(r"\braise_exception(?=\s*\()")
_RAISE_AT_ONCE = "{{ raise_exception('') }}"
# A variable that is there in the real rendering only.
_NO_TRIAL = "{{ raise_exception('trial') if __real is not defined else '' }}"
_UNKNOWN_FUNCTION = "raise_exceptioN"  # as long as raise_exception, and no function


@register
class LlamaCppEngine(Engine):
    """llama.cpp's engine behind its message normaliser, as llama-server and llama-cli render a prompt.

    The normaliser asks the template, by trial renderings, what it understands, and rewrites messages to suit it.
    As there, `enable_thinking` and `preserve_reasoning` are true unless the caller says otherwise, and
    `add_generation_prompt` is there only when it is on. The special tokens are `bos_token` and `eos_token`. The trial
    renderings, made anew for every case, take most of the time.

    Time is limited by the worker alone: counting steps (fuel) made renderings 1.7 times as long.
    """

    name: ClassVar[str] = "llama.cpp"
    shapes: ClassVar[tuple[str, ...]] = ("llama-server",)
    own_memory_limit: ClassVar[bool] = True
    normalize: ClassVar[bool] = True
    variables: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self._program: Program | None = None
        self._instance: Instance | None = None

    def version(self) -> str:
        """Return llama.cpp's build and the package that carries it."""
        return f"{BUILD} (ggufdoctor {version('ggufdoctor')}, wasmtime {version('wasmtime')})"

    def available(self) -> str | None:
        """Return what is missing and how to install it."""
        for package in ("ggufdoctor", "wasmtime"):
            try:
                version(package)
            except PackageNotFoundError:
                return f"{package} is not installed: {_WAY_OUT}"
        if wasm_file() is None:
            return f"the installed ggufdoctor lacks llama.cpp's engine: {_WAY_OUT}"
        return None

    def loses(self, request: Request) -> str | None:
        """Return which number llama.cpp cannot write, or what its normaliser refuses, or None."""
        if (cut := cut_by_caller(request)) is not None:
            return cut
        if self.normalize and any(map(_has_bare_part, request.messages)):
            return "a content part that is bare text"
        for number in argument_numbers(request):
            if isinstance(number, int):
                if not _SMALLEST <= number <= _LARGEST:
                    return _LOST_INTEGER
            elif not _writes(number):
                return _LOST_FLOAT
        for number in default_numbers(request):
            if isinstance(number, int):
                # What needs more than 64 bits is a float, as it is for Harmony.
                is_float = not SMALLEST_64 <= number <= LARGEST_64 and default_survives_as_float(number)
                if not _SMALLEST <= number <= _LARGEST and not (
                    is_float and _writes(serde_reads(str(number)))
                ):
                    return _LOST_INTEGER
            elif not (_writes(number) and _writes(serde_reads(repr(number)))):
                return _LOST_FLOAT
        return None

    def load(self) -> None:
        """Compile the module and make the instance that every session starts with.

        Raises UnjudgedError when the installed file is another one.
        """
        file = wasm_file()
        if file is None:
            raise UnjudgedError(f"The engine {self.name} cannot be used: {self.available()}.")
        self._program = Program(read_wasm(file))
        self._instance = self._program.instance()
        probe = Request([{"role": "user", "content": "x"}], None, {}, False, "2024-02-29")
        answer = self.render("{{ strftime_now('%Y-%m-%d %H') }} {{ messages[0].content }}", probe)
        if answer != Rendered(f"2024-02-29 {probe.moment:%H} x"):
            raise UnjudgedError(f"The engine {self.name} cannot freeze the clock (a probe gave {answer}).")

    def compile_check(self, template: str) -> SyntaxProblem | None:
        """Return what keeps llama.cpp from reading the template, or None; it does not say where."""
        # The whole template is read, then the first expression ends it.
        try:
            answer = self._ask(
                _RAISE_AT_ONCE + template, {"messages": []}, datetime(1970, 1, 1), normalize=False
            )
        except TrapError as error:
            return SyntaxProblem(str(error), None)
        if answer.get("stage") in ("lexer", "parser"):
            return SyntaxProblem(answer["error"].splitlines()[0], None)
        return None

    def render(self, template: str, request: Request) -> Outcome:
        """Render one request."""
        context = {**_context(request), **self.variables}
        try:
            answer = self._ask(template, context, request.moment, normalize=self.normalize)
        except TrapError as error:
            return Crashed("Trap", str(error), None)
        if answer["ok"]:
            return Rendered(answer["text"])
        if answer["stage"] == "raise":
            return Rejected(answer["error"], self._line_of_rejection(template, context, request.moment))
        message, line = _last_line(answer["error"]), _line(answer["error"])
        if "std::bad_alloc" in message:
            return LimitExceeded("memory", f"it needed more than {MEMORY_BYTES >> 20} MiB of memory")
        return Crashed(answer["stage"], message.removeprefix("Error: "), line)

    def prepare(self, template: str) -> str:
        """Return the template as llama.cpp compiles it: without OpenAI's guard against forged channels."""
        return template.replace(GUARD, NO_GUARD) if "<|channel|>" in template else template

    def _ask(
        self, template: str, context: dict[str, Any], moment: datetime, *, normalize: bool
    ) -> dict[str, Any]:
        if self._program is None:
            raise RuntimeError("load() was not called")
        if self._instance is None:
            self._instance = self._program.instance()
        self._instance.set_clock(moment)
        try:
            return self._instance.render(self.prepare(template), context, normalize=normalize)
        except TrapError:
            self._instance = None
            raise

    def _line_of_rejection(self, template: str, context: dict[str, Any], moment: datetime) -> int | None:
        """Return the line of the call of raise_exception: by another name it fails there, with its place."""
        renamed = _RAISE.sub(_UNKNOWN_FUNCTION, template)
        try:
            answer = self._ask(renamed, context, moment, normalize=self.normalize)
        except TrapError:
            return None
        error = answer.get("error", "")
        return _line(error) if _UNKNOWN_FUNCTION in _last_line(error) else None


def _context(request: Request) -> dict[str, Any]:
    """Return the template's variables; what the caller leaves out is absent."""
    context: dict[str, Any] = {
        "bos_token": SPECIAL_TOKENS["bos_token"],
        "eos_token": SPECIAL_TOKENS["eos_token"],
        **request.kwargs,
        "messages": request.messages,
        "add_generation_prompt": request.add_generation_prompt,
    }
    if request.tools is not None:
        context["tools"] = request.tools
    return context


def _has_bare_part(message: dict[str, Any]) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(isinstance(part, str) for part in content)


def _writes(value: float) -> bool:
    shortest = Decimal(repr(value))
    return shortest in (Decimal(f"{value:.6g}"), Decimal(f"{value:.6f}"))


def _line(error: str) -> int | None:
    found = _LINE.search(error)
    return int(found[1]) if found else None


def _last_line(error: str) -> str:
    lines = error.strip().splitlines()
    return lines[-1] if lines else error


@register
class RawLlamaCppEngine(LlamaCppEngine):
    """llama.cpp's engine alone: the messages reach the template as they are.

    Nobody needs to know here what the template understands, so trial renderings are ended at once.
    """

    name: ClassVar[str] = "llama.cpp-raw"
    shapes: ClassVar[tuple[str, ...]] = ()
    normalize: ClassVar[bool] = False
    variables: ClassVar[dict[str, Any]] = {"__real": True}

    def prepare(self, template: str) -> str:
        """Return the template with a first expression that ends trial renderings.

        Where it begins with a blank, which llama.cpp may trim at the beginning only, it stays as it is.
        """
        return template if template[:1].isspace() else _NO_TRIAL + template
