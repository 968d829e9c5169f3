"""What the commands take on a card: one after the other, alone."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from tools.gpu_evidence.files import write

KERNELS = "tools/gpu_kernels.py"
# Name, arguments after `conformance precision`, seconds at most.
FOREIGN = " ".join(
    f"--kernel {name}"
    for name in (
        "triton_kernels",
        "triton_kernels-fused",
        f"{KERNELS}:alpha_in_bfloat16",
        "transformers-mxfp4",
    )
)
BAD = " ".join(
    f"--kernel {KERNELS}:{name}" for name in ("writes_out_of_bounds", "never_ends", "writes_nothing")
)
TIMED = (
    ("all-paths", "", 140.0),
    ("sweep", "--sweep", 190.0),
    ("one-process", "--isolation none", 130.0),
    ("foreign-kernels", f"--depth 0 {FOREIGN} --sweep", 130.0),
    ("bad-kernels", f"--depth 0 --path torch-bfloat16 {BAD} --regime gaussian --no-sweep --limit-s 15", 80.0),
    ("attention", "attention --preset gpt-oss", 60.0),
)


def timed(folder: Path, seconds: float, only: list[str]) -> None:
    """Run the commands in turn, each with a limit, and write what they took."""
    ends = time.monotonic() + seconds
    steps = [(n, [sys.executable, "-m", "conformance.precision", *a.split()], s) for n, a, s in TIMED]
    if find_spec("pytest"):
        tests = [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "gpu",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/precision",
        ]
        steps.append(("gpu-tests", tests, 60))
    done = []
    for name, command, limit in steps:
        if only and name not in only:
            continue
        place = folder / name
        if name != "gpu-tests":
            command = [*command, "--output", str(place)]
        left = min(limit, ends - time.monotonic())
        started = time.monotonic()
        code: int | str = "no time was left"
        if left > 5:
            with (folder / f"{name}.log").open("w", encoding="utf-8") as log:
                try:
                    code = subprocess.run(
                        command, stdout=log, stderr=log, timeout=left, check=False
                    ).returncode
                except subprocess.TimeoutExpired:
                    code = f"ended after {left:.0f} s"
        took = round(time.monotonic() - started, 1)
        done.append({"step": name, "exit_code": code, "seconds": took})
        print(f"{name}: {code}, {took} s", flush=True)
        write(folder / "timed.json", done)
