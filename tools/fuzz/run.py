"""Run one reader over many mutated files and note what is neither a result nor one sentence."""

from __future__ import annotations

import signal
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import FrameType

from conformance.errors import ConformanceError
from tools.fuzz.mutate import mutated
from tools.fuzz.readers import Reader

# A reader of a small file that takes longer hangs.
_LIMIT_S = 10.0
_SENTENCE_CHARS = 1_600


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong, once for each place in the code, and the file that did it."""

    what: str
    data: bytes


@dataclass(slots=True)
class Result:
    """How many files were read, how many refused, the faults; processor time of all, the slowest on the clock."""

    name: str
    seed: int
    read: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    seconds: float = 0.0
    faults: list[Fault] = field(default_factory=list)

    def __str__(self) -> str:
        counts = f"{self.read:,} read · {self.refused:,} refused · {len(self.faults)} faults"
        times = f"{self.seconds:.0f} s · slowest {self.slowest_s:.2f} s"
        return f"{self.name:<20} {counts} · {times} · seed {self.seed}"


class _Hangs(BaseException):
    """The reader took too long; no Exception, so that no reader swallows it."""


def fuzz(name: str, reader: Reader, mutations: int, seed: int) -> Result:
    """Return what the reader made of so many mutated files; the same seed gives the same files."""
    random = Random(f"{name}:{seed}")
    result = Result(name, seed)
    seen: set[str] = set()
    seeds = reader.seeds()
    begin = time.process_time()
    previous = signal.signal(signal.SIGALRM, _alarm)
    try:
        with TemporaryDirectory(prefix="conformance-fuzz-") as folder:
            path = Path(folder) / reader.file
            for data in [*seeds, *(mutated(random, random.choice(seeds)) for _ in range(mutations))]:
                path.write_bytes(data)
                where = _tried(reader, path, result)
                if where is not None and where not in seen:
                    seen.add(where)
                    result.faults.append(Fault(where, data))
    finally:
        signal.signal(signal.SIGALRM, previous)
    result.seconds = time.process_time() - begin
    return result


def _tried(reader: Reader, path: Path, result: Result) -> str | None:
    """Read one file; return what went wrong, with its place in the code."""
    begin = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, _LIMIT_S)
    try:
        reader.read(path)
        result.read += 1
    except ConformanceError as error:
        result.refused += 1
        if len(str(error)) > _SENTENCE_CHARS:
            return f"a sentence of {len(str(error)):,} characters begins {str(error)[:80]!r}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        own = [
            frame for frame in traceback.extract_tb(error.__traceback__) if "conformance" in frame.filename
        ]
        place = own[-1] if own else last
        return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno} in {place.name}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        result.slowest_s = max(result.slowest_s, time.monotonic() - begin)
    return None


def _alarm(_number: int, _frame: FrameType | None) -> None:
    raise _Hangs
