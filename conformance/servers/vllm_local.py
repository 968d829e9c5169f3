"""vLLM's render server, started here: the prompts of its chat completions without a GPU, a model or generation."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from conformance.errors import GoneError, UnjudgedError, UsageError, printable
from conformance.oracles import vocabulary
from conformance.servers.client import Access, Client

_START_S = 600.0  # it imports half of PyTorch first, in half a minute on a machine with nothing else to do
_POLL_S = 1.0
_QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "PYTHONNOUSERSITE": "1"}


@contextlib.contextmanager
def vllm_server(python: str, model: Path) -> Iterator[str]:
    """Run `vllm launch render` with the Python of an environment that has vLLM; yields its address.

    `model` is a model folder. Raises UnjudgedError when it cannot be started.
    """
    program = Path(python).with_name("vllm")
    words = vocabulary.prepare().folder
    base = {} if words is None else {vocabulary.VARIABLE: str(words)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = [
        str(program),
        "launch",
        "render",
        "--model",
        str(model),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    command = [sys.executable, "-m", "conformance.servers.tied", *served]
    if not program.is_file():
        raise UnjudgedError(f"vLLM cannot be started: {program} is not there.")
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_QUIET, **base},
        ) as process,
    ):
        address = f"http://127.0.0.1:{port}"
        try:
            _wait(process, address)
            yield address
        except _EndedError as ended:
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
            raise UnjudgedError(f"vLLM's render server {ended}: {printable(lines[-1], 300)}.") from None
        finally:
            # It ends with its standard input.
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


class _EndedError(Exception):
    """It is not there, or no more."""


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    begin = time.monotonic()
    client = Client(Access(address, 5.0))
    try:
        while time.monotonic() - begin < _START_S:
            if process.poll() is not None:
                raise _EndedError(f"ended with code {process.returncode}")
            with contextlib.suppress(GoneError, UsageError):
                if client.get("/version").status == 200:
                    return
            time.sleep(_POLL_S)
    finally:
        client.close()
    raise _EndedError(f"was not ready within {_START_S:g} s")
