"""Standard output and error as pipes, full disks and other encodings leave them to us."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator

from conformance.errors import UsageError


class _Stdout(io.FileIO):
    """Standard output that outlives its reader: `| head` must not decide what a gate's exit code is."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            self._silence()
            if error.errno in (errno.EPIPE, errno.ESHUTDOWN):
                return memoryview(data).nbytes  # type: ignore[arg-type]
            why = (error.strerror or str(error)).lower()
            raise UsageError(f"Cannot write to standard output: {why}.") from None

    def _silence(self) -> None:
        """Send the rest to nowhere, or the interpreter would fail once more when it flushes at its end."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)


@contextlib.contextmanager
def steady_stdout() -> Iterator[None]:
    """Let standard output end early without ending the command, while the block runs.

    Raises UsageError when it cannot be written for another reason, such as a full disk.
    """
    before = sys.stdout
    if before is not sys.__stdout__ or not isinstance(before, io.TextIOWrapper):
        yield  # a test or another program has put its own stream there
        return
    raw = _Stdout(before.fileno(), "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding,
        # What the locale cannot write is shown as its escape; a report must not end in the middle.
        errors="backslashreplace" if before.errors == "strict" else before.errors,
        line_buffering=before.line_buffering,
    )
    try:
        yield
        sys.stdout.flush()
    finally:
        with contextlib.suppress(UsageError):
            sys.stdout.flush()
        sys.stdout = before


def one_line(text: str) -> str:
    """Return a sentence fit for standard error: one line, without the control characters of a template."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))


def complain(text: str) -> None:
    """Say on standard error in one sentence what went wrong."""
    with contextlib.suppress(OSError):
        print(f"conformance: {one_line(text)}", file=sys.stderr)


def write_bytes(data: bytes) -> None:
    """Write to standard output exactly these bytes, whatever the locale's encoding is."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(data.decode())
        return
    sys.stdout.flush()
    buffer.write(data)
    buffer.flush()
