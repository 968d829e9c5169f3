"""The event log: what a campaign found, line by line as it goes, so that an ended run loses nothing.

The first line is a header, the last a footer. A file without its footer was cut off and proves nothing.
"""

from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

import msgspec

from conformance.decode import NO_JSON
from conformance.errors import UsageError
from conformance.report.files import create_file, read_file, to_json
from conformance.report.model import Divergence, Environment, Target, ToolInfo

SCHEMA: Final = "conformance-events/1"
FILE_NAME = "events.jsonl"


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Base of the events; `at_s` is seconds since the header was written."""

    at_s: float = 0.0


class Header(_Event, frozen=True, kw_only=True, tag="header", rename={"schema_": "schema"}):
    """The first line: what runs where, with which seed and profile, over which targets, judged by whom."""

    schema_: Literal["conformance-events/1"] = SCHEMA
    tool: ToolInfo
    environment: Environment
    seed: int
    profile: str
    targets: list[str]
    authority: str = ""


class TargetStarted(_Event, frozen=True, kw_only=True, tag="target-started"):
    """A target's campaign begins; `cases` is how many conversations are planned."""

    target: str
    sha256: str
    cases: int


class DivergenceFound(_Event, frozen=True, kw_only=True, tag="divergence-found"):
    """A rule was seen on a target for the first time, or a smaller case for it was found."""

    target: str
    divergence: Divergence


class TargetFinished(_Event, frozen=True, kw_only=True, tag="target-finished"):
    """A target's whole result."""

    target: Target


class Note(_Event, frozen=True, kw_only=True, tag="note"):
    """Something a reader should know, such as a template that was left out."""

    text: str
    target: str | None = None


class Footer(_Event, frozen=True, kw_only=True, tag="footer"):
    """The last line; `complete` is False when the run was interrupted, failed or ran out of time.

    `events` counts the lines between header and footer.
    """

    complete: bool
    reason: str | None = None
    events: int
    targets_finished: int
    divergences: int


Event = Header | TargetStarted | DivergenceFound | TargetFinished | Note | Footer


class EventLog:
    """Writes `events.jsonl`; a context manager, so that the footer is written whatever ends the run.

    The footer says `complete` only if the block ended normally, every target of the header finished, and
    nobody called `incomplete`. Raises UsageError when the file cannot be made; where it cannot be written later on,
    `failure` says so, and the run goes on.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path / FILE_NAME if path.is_dir() else path
        self._header = header
        self._file: io.BufferedWriter | None = None
        self._begin = 0.0
        self._events = 0
        self._finished: list[str] = []
        self._rules: set[tuple[str, str]] = set()
        self._reason: str | None = None
        self.failure: str | None = None

    def __enter__(self) -> EventLog:
        try:
            self._file = create_file(self.path)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        self._begin = time.monotonic()
        self._write(self._header)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._reason = (
                "interrupted" if issubclass(kind, KeyboardInterrupt) else f"ended by {kind.__name__}"
            )
        missing = [name for name in self._header.targets if name not in self._finished]
        if self._reason is None and missing:
            self._reason = f"not finished: {', '.join(missing)}"
        footer = Footer(
            complete=self._reason is None,
            reason=self._reason,
            events=self._events,
            targets_finished=len(self._finished),
            divergences=len(self._rules),
            at_s=self._now(),
        )
        self._write(footer)
        if self._file is not None:
            with contextlib.suppress(OSError):  # what is left in the buffer has failed before
                self._file.close()
            self._file = None

    def target_started(self, name: str, sha256: str, cases: int) -> None:
        """Say that a target's campaign begins."""
        self._event(TargetStarted(target=name, sha256=sha256, cases=cases, at_s=self._now()))

    def divergence_found(self, target: str, divergence: Divergence) -> None:
        """Say that a rule was seen for the first time on a target, or on a smaller case than before."""
        self._rules.add((target, divergence.key))
        self._event(DivergenceFound(target=target, divergence=divergence, at_s=self._now()))

    def target_finished(self, target: Target) -> None:
        """Write a target's whole result."""
        self._rules.update((target.name, divergence.key) for divergence in target.divergences)
        self._finished.append(target.name)
        self._event(TargetFinished(target=target, at_s=self._now()))

    def note(self, text: str, target: str | None = None) -> None:
        """Write a note."""
        self._event(Note(text=text, target=target, at_s=self._now()))

    def incomplete(self, reason: str) -> None:
        """Mark the run as incomplete, because its time was up for example."""
        self._reason = reason

    def _now(self) -> float:
        return round(time.monotonic() - self._begin, 3)

    def _event(self, event: Event) -> None:
        self._write(event)
        self._events += 1

    def _write(self, event: Event) -> None:
        if self._file is None:
            raise RuntimeError("the event log is not open; use it in a with statement")
        if self.failure is not None:
            return
        try:
            # JSON strings escape newlines, so one event is one line whatever a template wrote.
            self._file.write(to_json(event) + b"\n")
            self._file.flush()
        except OSError as error:
            # A disk that is full must not end the run; without its footer the file says truncated.
            self.failure = str(_cannot_write(self.path, error))


class EventSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What an event log says; `passed` is the only way in which it speaks for a template.

    `truncated` is True when the footer is missing or the last line is cut off; `divergences` holds the last
    word on each (target, key of a divergence).
    """

    header: Header | None
    targets: list[Target]
    divergences: dict[str, dict[str, Divergence]]
    notes: list[str]
    complete: bool
    truncated: bool
    reason: str | None
    unfinished: list[str]

    @property
    def passed(self) -> bool:
        """Whether the run is whole and every target conforms."""
        return (
            self.complete
            and not self.truncated
            and bool(self.targets)
            and all(target.verdict == "conforms" for target in self.targets)
        )


def read_events(path: Path) -> EventSummary:
    """Read an event log from its file or folder; one that was cut off is read as far as it goes.

    Raises UsageError when the file is missing, has another schema, or is broken before its last line.
    """
    if path.is_dir():
        path = path / FILE_NAME
    events, cut = _decode(path)
    header = events[0] if events and isinstance(events[0], Header) else None
    if events and header is None:
        raise UsageError(f"{path} is not an event log: its first line is no header.")
    footer = events[-1] if events and isinstance(events[-1], Footer) else None
    targets: dict[str, Target] = {}
    divergences: dict[str, dict[str, Divergence]] = {}
    notes: list[str] = []
    for event in events:
        match event:
            case DivergenceFound(target=name, divergence=divergence):
                divergences.setdefault(name, {})[divergence.key] = divergence
            case TargetFinished(target=target):
                targets[target.name] = target
                divergences[target.name] = {d.key: d for d in target.divergences}
            case Note(text=text):
                notes.append(text)
            case _:
                pass
    planned = header.targets if header else []
    truncated = cut or footer is None or footer.events != len(events) - 2
    return EventSummary(
        header=header,
        targets=list(targets.values()),
        divergences=divergences,
        notes=notes,
        complete=footer is not None and footer.complete and not truncated,
        truncated=truncated,
        reason=footer.reason if footer else "the file has no footer",
        unfinished=[name for name in planned if name not in targets],
    )


def _decode(path: Path) -> tuple[list[Event], bool]:
    """Return the events and whether the last line was cut off."""
    lines = read_file(path).split(b"\n")
    # What follows the last newline is nothing, or a line that was being written when the run ended.
    cut = bool(lines.pop().strip())
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Event)
    events: list[Event] = []
    for number, line in enumerate(lines, 1):
        try:
            if number == 1:
                _check_schema(path, line)
            events.append(decoder.decode(line))
        except NO_JSON as error:
            if number == len(lines) and number > 1 and not cut:
                return events, True
            raise UsageError(f"{path} is a broken event log: line {number}: {error}.") from None
    return events, cut


def _check_schema(path: Path, line: bytes) -> None:
    found = msgspec.json.decode(line, type=dict[str, Any]).get("schema")
    if found != SCHEMA:
        raise UsageError(f"{path} is not an event log: its schema is {found!r}, not {SCHEMA!r}.")


def _cannot_write(path: Path, error: OSError) -> UsageError:
    why = (error.strerror or str(error)).lower()
    return UsageError(f"Cannot write {path}: {why}; choose another --output.")
