"""What an engine is given, what it may answer, and how engines are found by name."""

from __future__ import annotations

import importlib
import time
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from conformance.bounds import PROMPT_CHARS
from conformance.errors import UsageError
from conformance.registry import Registry

# Imported when first asked for, so that `conformance --help` loads none of them.


class Request(msgspec.Struct, frozen=True):
    """One call of a chat template: the messages as a shape wrote them, and the options of the case.

    `kwargs` holds only what the caller passes (`reasoning_effort`, `model_identity`, `builtin_tools`, …): an
    absent key stays absent. `date` is the frozen clock, "YYYY-MM-DD": every `strftime_now` sees that day, at
    the time of `moment`. Numbers must be finite and text must be encodable as UTF-8 (the case reader refuses the rest).
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    kwargs: dict[str, Any]
    add_generation_prompt: bool
    date: str

    @property
    def moment(self) -> datetime:
        """The frozen clock: a time of day (UTC) that what is said draws, so that no template knows a test by noon."""
        drawn = zlib.crc32(repr(self.messages[-1:]).encode("utf-8", "surrogatepass"))
        return datetime.fromisoformat(self.date) + timedelta(
            seconds=drawn % 86_400, microseconds=drawn % 999_983
        )

    @property
    def handed(self) -> dict[str, Any]:
        """What a template is handed, as a report keeps it: messages, tools and the options that were passed."""
        tools = {} if self.tools is None else {"tools": self.tools}
        asked = {"add_generation_prompt": self.add_generation_prompt}
        return {"messages": self.messages, **tools, **self.kwargs, **asked}


class Rendered(msgspec.Struct, frozen=True, tag="rendered"):
    """The template wrote this text.

    `ordinary` are stretches of it, as start and stop in order, that this engine's server encodes as ordinary text;
    elsewhere it recognises special tokens. An empty stretch only keeps its two sides apart. `tokens` are those that
    the target itself makes of the text, where it says so.
    """

    text: str
    ordinary: tuple[tuple[int, int], ...] = ()
    tokens: tuple[int, ...] | None = None


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """The template refused the input itself, by `raise_exception`; `line` is the template's line, from 1."""

    message: str
    line: int | None


class Crashed(msgspec.Struct, frozen=True, tag="crashed"):
    """Rendering ended in another exception: `kind` is its class name, `line` the template's line, from 1."""

    kind: str
    message: str
    line: int | None


class LimitExceeded(msgspec.Struct, frozen=True, tag="limit"):
    """Rendering was ended: it ran too long, took too much memory, wrote too much or killed its worker."""

    limit: Literal["time", "memory", "output", "worker-died"]
    message: str


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """A server or renderer says that it cannot take this request: no prompt, and so no wrong one."""

    message: str


Outcome = Rendered | Rejected | Crashed | LimitExceeded | Refused


class SyntaxProblem(msgspec.Struct, frozen=True, tag="syntax"):
    """Why an engine cannot compile a template; `line` is the template's line, from 1.

    `ended`: it did not come to an end, so that nothing is known of the template.
    """

    message: str
    line: int | None
    ended: bool = False


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one case may cost: seconds of processor time, bytes above the idle worker, characters of output.

    A case that does not stop by itself at `time_s` is killed after `grace_s` more. Neither depends on what else the
    machine does; a worker that gives no answer for `hang_s` on the clock is replaced.
    """

    time_s: float = 5.0
    grace_s: float = 2.0
    hang_s: float = 30.0
    memory_bytes: int = 1 << 30
    output_chars: int = 4 << 20
    startup_s: float = 120.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise UsageError(f"The limit {name} must be greater than 0.")


# What a campaign gives a case of somebody's own, and one that it generated, no prompt of which is half as long.
CASE_LIMITS = Limits(time_s=2.0, grace_s=1.0)
GENERATED_LIMITS = Limits(time_s=2.0, grace_s=1.0, output_chars=PROMPT_CHARS)


def cut_by_caller(request: Request) -> str | None:
    """Return why a request is no matter of an engine's whose callers do not cut its prompts, or None."""
    if request.kwargs.get("continue_final_message"):
        return "only transformers cuts the prompt of a message that is to be continued"
    return None


class Engine(Protocol):
    """A program that executes Jinja templates; subclass it, set `name` and decorate with `register`.

    The parent constructs an engine only to ask `version` and `available`: both must be cheap and must not
    import the program. A worker calls `load` once, is then forked for each session (`open`), and renders
    inside limits.
    """

    name: ClassVar[str]
    # True for engines that bound their own memory (a WebAssembly host, a node process): there a limit on address
    # space, open files and processes would stop what is harmless. The limits of time and output still hold.
    own_memory_limit: ClassVar[bool] = False
    # The shapes in which this engine's own server hands conversations over; empty where no one server is its own.
    shapes: ClassVar[tuple[str, ...]] = ()

    def version(self) -> str:
        """Return the version of the program that renders."""
        ...

    def available(self) -> str | None:
        """Return why this engine cannot work here and how to cure it, or None when it can."""
        return None

    def loses(self, request: Request) -> str | None:
        """Return what of a request no template can make this engine write as Harmony does, or None.

        Such a case is inexpressible in the engine, counted apart and never held against a template. Runs in the
        parent, once a case: cheap, and without importing the program.
        """
        return None

    def cost(self) -> float:
        """Return the seconds of processor time that this session has spent so far."""
        return time.process_time()

    def programs(self) -> Sequence[str]:
        """Return the paths of programs that a session starts; every other program stays closed to it."""
        return ()

    def load(self) -> None:
        """Import what rendering needs; runs once, before any template is seen.

        Raises UnjudgedError when the installed program is not one that this engine understands.
        """

    def open(self) -> None:
        """Start what does not survive a fork (threads, programs); runs confined, before a session's limits."""

    def compile_check(self, template: str) -> SyntaxProblem | None:
        """Return what keeps the template from being compiled, or None."""
        ...

    def render(self, template: str, request: Request) -> Outcome:
        """Render one request; exceptions that escape are reported as crashes by the worker."""
        ...


def _check(name: str, engine: type[Engine]) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"engine {engine.__name__} has no name")
    for method in ("version", "compile_check", "render"):
        if getattr(engine, method, None) is getattr(Engine, method):
            raise TypeError(f"engine {name} does not define {method}")


ENGINES: Registry[type[Engine]] = Registry(
    "engine",
    "conformance.engines",
    {
        "transformers": "conformance.engines.transformers_jinja",
        "jinja2": "conformance.engines.jinja2_plain",
        "transformers-sanitized": "conformance.engines.transformers_sanitized",
        "minijinja": "conformance.engines.minijinja",
        "minijinja-tgi": "conformance.engines.minijinja",
        "minijinja-mistralrs": "conformance.engines.minijinja",
        "minijinja-dynamo": "conformance.engines.minijinja",
        "llama.cpp": "conformance.engines.llama_cpp",
        "llama.cpp-raw": "conformance.engines.llama_cpp",
        "huggingface-js": "conformance.engines.huggingface_js",
        "huggingface-js-0.5.5": "conformance.engines.huggingface_js",
    },
    check=_check,
)
register = ENGINES.register


def engine_names() -> list[str]:
    """Return the names of all engines: built in, registered and from installed plug-ins."""
    return sorted(ENGINES.names())


def get_engine(name: str) -> Engine:
    """Return a new engine by its name.

    Raises UsageError when there is none.
    """
    return ENGINES[name]()


def registered(names: Iterable[str]) -> list[type[Engine]]:
    """Return those of these engines that this program registered: other processes do not know them by name."""
    own = ENGINES.own()
    return [own[name] for name in names if name in own]


def class_path(engine: str | type[Engine]) -> str | None:
    """Return `module:Class` of an engine given as its class or registered by a program, else None.

    A worker finds those that are built in or plug-ins by their names. No name that somebody wrote becomes a path.
    """
    if isinstance(engine, str):
        own = registered([engine])
        if not own:
            return None
        engine = own[0]
    return f"{engine.__module__}:{engine.__qualname__}"


def load_class(path: str) -> Engine:
    """Return a new engine of the class under `class_path`.

    Raises UsageError when it cannot be imported.
    """
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"The engine {path!r} cannot be imported: {error}.") from None
    engine: Engine = found()
    return engine
