"""From what a command raises to its exit code: what one sentence explains is that sentence, never a traceback."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import typer

from conformance.cli.streams import complain, steady_stdout
from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, EXIT_USAGE, ConformanceError

# What typer makes of Ctrl-C.
_INTERRUPTED = 130
# Newer versions of typer carry a click of their own, older ones use the package: ask the class.
_ClickException: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


def guarded(command: Callable[[], int | None]) -> int:
    """Run a command and return its exit code; what it raises is told on standard error in one sentence."""
    try:
        with steady_stdout():
            code = command()
    except ConformanceError as error:
        complain(str(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except _ClickException as error:
        complain(_wrong_usage(error))
        return EXIT_USAGE
    except (OSError, MemoryError) as error:
        # What the system refuses is no fault of ours where it says so, and no verdict either.
        if (refusal := _refusal(error)) is None:
            return _fault(error)
        complain(refusal)
        return EXIT_UNJUDGED
    except Exception as error:  # a fault of ours is no verdict on a template: 1 would say that it diverges
        return _fault(error)
    if code == _INTERRUPTED:
        complain("interrupted, and nothing is reported")
        return EXIT_UNJUDGED
    return code or EXIT_CONFORMS


def _fault(error: Exception) -> int:
    if os.environ.get("CONFORMANCE_TRACEBACK"):
        raise error
    complain(_unforeseen(error))
    return EXIT_UNJUDGED


_ADVICE = {
    errno.EMFILE: "allow more open files (`ulimit -n`), or ask for fewer --jobs or engines",
    errno.ENFILE: "allow more open files on this machine, or ask for fewer --jobs or engines",
    errno.ENOSPC: "make room, or name another place with --output and TMPDIR",
    errno.EDQUOT: "make room, or name another place with --output and TMPDIR",
    errno.EFBIG: "allow larger files (`ulimit -f`)",
    errno.EROFS: "name another place with --output and TMPDIR",
    errno.ENOMEM: "allow more memory (`ulimit -v`), or ask for fewer --jobs or engines",
    errno.EAGAIN: "allow more processes (`ulimit -u`), or ask for fewer --jobs or engines",
}


def _refusal(error: OSError | MemoryError) -> str | None:
    """Return the sentence about what the system has no more of; None where it is not that."""
    if isinstance(error, MemoryError):
        return f"out of memory, and nothing was judged; {_ADVICE[errno.ENOMEM]}"
    if error.errno not in _ADVICE:
        return None
    where = f" ({error.filename})" if isinstance(error.filename, str) else ""
    why = (error.strerror or str(error)).lower()
    return f"the system says: {why}{where}, and nothing was judged; {_ADVICE[error.errno]}"


def _unforeseen(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return (
        f"this is a fault of conformance, and nothing was judged: {said} ({Path(last.filename).name}, line "
        f"{last.lineno}); please report it with what CONFORMANCE_TRACEBACK=1 shows"
    )


def _wrong_usage(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    command = context.command_path if context is not None else "conformance"
    message = message.replace("Value error, ", "")
    return f"{message.rstrip(' .')}; see `{command} --help`"
