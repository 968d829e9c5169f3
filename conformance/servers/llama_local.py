"""A real llama-server on this machine: llama.cpp's own, from the xllamacpp wheel, in a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from conformance.errors import UnjudgedError
from conformance.servers import tiny_gguf

PACKAGE = "xllamacpp"
WAY_OUT = 'pip install "chat-template-conformance[servers]"'
_START_S = 180.0  # seconds, but on a machine that has other things to do
_READY = "listening on "


def available() -> str | None:
    """Return why no llama-server can be started here and how to cure it, or None when one can."""
    return None if importlib.util.find_spec(PACKAGE) else f"{PACKAGE} is not installed: {WAY_OUT}"


def package_version() -> str:
    """Return the version of the package that carries llama-server."""
    try:
        return f"{PACKAGE} {version(PACKAGE)}"
    except PackageNotFoundError:
        return "not installed"


@contextlib.contextmanager
def llama_server(template: str, *, model: Path | None = None) -> Iterator[str]:
    """Run llama-server with a chat template while the block runs; yields its address.

    `model` is a GGUF file; default is the tiny one with the real vocabulary. Raises UnjudgedError when it cannot be
    started.
    """
    if (reason := available()) is not None:
        raise UnjudgedError(f"llama-server cannot be started: {reason}.")
    chosen = model or tiny_gguf.cached()
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        file = Path(folder, "template.jinja")
        file.write_text(template, encoding="utf-8", newline="")
        command = [sys.executable, "-m", "conformance.servers.llama_local", str(chosen), str(file)]
        with (
            Path(folder, "errors").open("w+b") as errors,
            # It ends when its standard input does, whatever becomes of this process.
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            ) as process,
        ):
            try:
                yield _address(process, errors.name)
            finally:
                process.kill()


def _address(process: subprocess.Popen[bytes], errors: str) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], _START_S)
    line = process.stdout.readline().decode() if ready else ""
    if not line.startswith(_READY):
        said = Path(errors).read_text("utf-8", "replace").strip().splitlines()
        # Whoever is still at it has said nothing yet of why it takes so long.
        why = said[-1] if ready and said else f"it was not ready within {_START_S:g} s"
        raise UnjudgedError(f"llama-server did not start: {why[:300]}.")
    return line.removeprefix(_READY).strip()


def _serve(model: str, template: str) -> None:
    """Be the server; ends with standard input."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.port = 0
    params.warmup = False
    params.n_gpu_layers = 0
    params.fit_params = False
    params.n_ctx = 512  # nobody generates
    params.n_parallel = 1
    params.use_jinja = True
    params.chat_template = Path(template).read_bytes().decode("utf-8")
    server = xllamacpp.Server(params)
    print(f"{_READY}{server.listening_address}", flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2])
