"""Judge one attack in a process of its own, and measure it: what it said, how long it took, how much memory."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from tools.attacks.templates import Attack

CASES = 30
# The limits of all stages together; a command that has not ended by itself by then hangs.
WALL_S = 180.0
# What a single target's command says without a report: it is no template, or compiling it was ended.
_WITHOUT_REPORT = {2: "refused", 3: "not judged"}
_PEAK = re.compile(rb"VmHWM:\s+(\d+) kB")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attack on one engine; sizes in megabytes, `cut` what the report says was cut short."""

    attack: str
    engine: str
    cases: int = CASES
    exit_code: int
    verdict: str
    seconds: float
    parent_mb: int
    report_mb: float
    cut: list[str] = []
    error: str = ""
    said: str = ""

    def __str__(self) -> str:
        """Say all of it in a line."""
        size = f"{self.parent_mb} MB, reports {self.report_mb} MB"
        how = f"exit {self.exit_code} {self.verdict}, {self.seconds} s"
        return f"{how}, {size}, {len(self.cut)} cut {self.said[:120]!r}"

    @property
    def contained(self) -> bool:
        """Whether the command ended by itself, with a report and without a fault of its own."""
        return (
            self.exit_code in (0, 1, 2, 3) and "fault of conformance" not in self.said and self.verdict != ""
        )


def attack(chosen: Attack, engine: str, *, cases: int = CASES, wall_s: float = WALL_S) -> Outcome:
    """Return what `conformance check` makes of an attack."""
    with tempfile.TemporaryDirectory(prefix="conformance-attack-") as folder:
        place = Path(folder)
        (place / "attack.jinja").write_text(chosen.make(), encoding="utf-8", newline="")
        with open(place / "err", "wb") as errors:
            begin = time.monotonic()
            process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "conformance", "check", "attack.jinja", "--engine", engine),
                    *("--examples", str(cases), "--output", "out", "--format", "terminal=report.txt"),
                    *("--format", "markdown=report.md", "--format", "html=report.html"),
                ],
                cwd=place,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            peak = _watch(process, begin + wall_s)
            seconds = time.monotonic() - begin
        report = place / "out" / "report.json"
        sizes = [
            file.stat().st_size for file in place.rglob("*") if file.is_file() and "attack" not in file.name
        ]
        said = (place / "err").read_text(errors="replace").strip()[-300:]
        target = _target(report)
        return Outcome(
            attack=chosen.name,
            engine=engine,
            cases=cases,
            exit_code=process.returncode,
            verdict=str(target.get("verdict") or _WITHOUT_REPORT.get(process.returncode, "")),
            seconds=round(seconds, 1),
            parent_mb=peak >> 10,
            report_mb=round(sum(sizes) / 1e6, 2),
            cut=[str(line) for line in target.get("cut", ())],
            error=str(target.get("error") or ""),
            said=said,
        )


def _watch(process: subprocess.Popen[bytes], until: float) -> int:
    """Wait for a process, killing it and its workers after `until`; return its peak of memory in kB."""
    peak = 0
    while process.poll() is None:
        with contextlib.suppress(OSError):
            if found := _PEAK.search(Path(f"/proc/{process.pid}/status").read_bytes()):
                peak = max(peak, int(found[1]))
        if time.monotonic() > until:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            process.wait()
            process.returncode = -signal.SIGKILL
            break
        time.sleep(0.05)
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    return peak


def _target(report: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, LookupError):
        found: dict[str, Any] = json.loads(report.read_bytes())["targets"][0]
        return found
    return {}
