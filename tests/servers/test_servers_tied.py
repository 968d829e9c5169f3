"""A server that was started here ends with whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conformance.errors import UnjudgedError
from conformance.servers.vllm_local import vllm_server

TIED = [sys.executable, "-m", "conformance.servers.tied"]


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_ends_when_its_starter_is_killed() -> None:
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    starter = (
        "import subprocess, sys\n"
        f"tied = subprocess.Popen({[*TIED, sys.executable, '-c', program]!r}, stdin=subprocess.PIPE)\n"
        "tied.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        number = int(process.stdout.readline())
        assert alive(number)
        process.send_signal(signal.SIGKILL)
        for _ in range(300):
            if not alive(number):
                return
            time.sleep(0.1)
    pytest.fail("it outlived its starter")


def test_the_exit_code_is_the_programs() -> None:
    with subprocess.Popen(
        [*TIED, sys.executable, "-c", "raise SystemExit(7)"], stdin=subprocess.PIPE
    ) as process:
        assert process.wait(60) == 7


def test_a_vllm_that_ends_or_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(UnjudgedError, match="vllm is not there"),
        vllm_server(str(tmp_path / "python"), tmp_path),
    ):
        pass
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\necho no model\nexit 3\n")
    program.chmod(0o755)
    with (
        pytest.raises(UnjudgedError, match="ended with code 3: no model"),
        vllm_server(str(tmp_path / "python"), tmp_path),
    ):
        pass
