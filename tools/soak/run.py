"""One check under attack from outside: its own processes die or stop, and it still has to tell the truth."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from conformance.resources import resource

# What a run is: engine, --jobs, and what may be hit: `parts` are its processes, `whole` is the command itself.
KINDS: tuple[tuple[str, int, str], ...] = (
    ("jinja2", 1, "parts"),
    ("jinja2", 2, "parts"),
    ("minijinja", 1, "parts"),
    ("transformers", 1, "parts"),
    ("jinja2", 2, "whole"),
    ("minijinja", 1, "whole"),
)
_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_S = 300.0
_GRACE_S = 5.0  # processes whose parent was killed see it within a second or two


@dataclass(slots=True)
class SoakedRun:
    """What became of one run; `faults` are lies, hangs and what was left behind."""

    kind: tuple[str, int, str]
    code: int | None = None
    cases: int = 0
    hits: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def how(self) -> str:
        """How it ended, in a word."""
        words = {0: "conforms", 1: "diverges", 2: "refused", 3: "could not judge", None: "hung"}
        return words.get(self.code, "killed")

    def __str__(self) -> str:
        engine, jobs, _ = self.kind
        hits = ", ".join(self.hits) or "nothing hit"
        told = f"exit {self.code} {self.how}, {self.cases} cases accounted for"
        return f"{engine} --jobs {jobs}: {hits}: {told}{''.join(f'; FAULT {fault}' for fault in self.faults)}"


def adopt_orphans() -> None:
    """Become the parent of processes that a run leaves behind, so that none is overlooked."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def soak(random: Random, kind: tuple[str, int, str], cases: int) -> SoakedRun:
    """Judge the reference, which conforms, while processes of the run are killed and stopped."""
    engine, jobs, what = kind
    run = SoakedRun(kind)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        place = Path(folder)
        (place / "tmp").mkdir()
        with open(place / "said", "wb") as said:
            process = subprocess.Popen(
                [
                    *(
                        sys.executable,
                        "-P",
                        "-m",
                        "conformance",
                        "check",
                        str(resource("templates", "gpt-oss.jinja")),
                    ),
                    *(
                        "--engine",
                        engine,
                        "--jobs",
                        str(jobs),
                        "--examples",
                        str(cases),
                        "--output",
                        str(place / "out"),
                    ),
                ],
                # Where it hangs is then said when it is ended.
                env={**os.environ, "TMPDIR": str(place / "tmp"), "PYTHONFAULTHANDLER": "1"},
                stdout=said,
                stderr=said,
            )
            _disturb(random, process, what, run)
        _account(run, place, cases)
        run.faults += [f"left behind: {left}" for left in _left_behind(place / "tmp")]
    return run


def _disturb(random: Random, process: subprocess.Popen[bytes], what: str, run: SoakedRun) -> None:
    """Hit something every now and then until the run ends; a run that does not end is killed."""
    until = time.monotonic() + _PATIENCE_S
    hits = random.randint(0, 4) if what == "parts" else 1
    next_hit = time.monotonic() + random.uniform(0.5, 6)
    while process.poll() is None:
        now = time.monotonic()
        if now > until:
            process.send_signal(signal.SIGABRT)
            process.wait()
            run.faults.append(f"hung for {_PATIENCE_S:g} s")
            return
        if hits and now > next_hit:
            hits -= 1
            next_hit = now + random.uniform(0.5, 6)
            if what == "whole":
                number = random.choice((signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL))
                process.send_signal(number)
                run.hits.append(f"{number.name} to the command")
            elif parts := _workers(process.pid):
                pid, name = random.choice(parts)
                number = random.choice((signal.SIGKILL, signal.SIGSTOP))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                    run.hits.append(f"{number.name} to a {name}")
        time.sleep(0.05)
    run.code = process.returncode


def _account(run: SoakedRun, place: Path, cases: int) -> None:
    """Compare what the report says with what must be true of a template that conforms."""
    said = (place / "said").read_text(errors="replace")
    if run.code is None:
        run.faults.append(f"it was at {said[said.rfind('Fatal Python error') :][:4000]}")
    if "fault of conformance" in said or "Traceback" in said:
        run.faults.append(f"said {said[-200:]!r}")
    report = _report(place / "out" / "report.json")
    if report is None:
        if run.code == 0 or run.code == 1:
            run.faults.append(f"exit code {run.code} without a report")
        return
    counts, done = report["targets"][0]["cases"], report["run"]["cases"]
    judged = counts["total"] + counts["inexpressible"] + counts["refused"]
    run.cases = judged + sum(report["run"]["unanswered"].values())
    if run.cases != done:
        run.faults.append(f"{done} cases begun, {run.cases} accounted for")
    if report["run"]["complete"] and done != cases:
        run.faults.append(f"complete with {done} of {cases} cases")
    found = report["targets"][0]["divergences"]
    rules = {each["rule"] for each in found if each["severity"] != "note"}
    if rules - {"resource-limit"}:
        run.faults.append(f"a right template was accused of {', '.join(sorted(rules))}")
    if run.code == 0 and (done != cases or not report["run"]["complete"]):
        run.faults.append(f"exit code 0 after {done} of {cases} cases")


def _report(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found
    return None


def _workers(root: int) -> list[tuple[int, str]]:
    """Return the processes below one, each with what it is."""
    below = {root}
    found: list[tuple[int, str]] = []
    for pid, parent, command in sorted(_processes()):
        if parent in below:
            below.add(pid)
            if "conformance.engines.worker" in command:
                # Workers lead a session of the kernel, also those that another worker made.
                found.append((pid, "worker" if _leads(pid) else "session"))
            elif "multiprocessing.spawn" in command:
                found.append((pid, "job"))
    return found


def _processes() -> list[tuple[int, int, str]]:
    """Return id, parent and command of all processes that live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                rest = (entry / "stat").read_text().rpartition(")")[2].split()
                if rest[0] != "Z":
                    found.append((int(entry.name), int(rest[1]), _command(int(entry.name))))
    return found


def _leads(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid) == pid
    return False


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _left_behind(folder: Path) -> list[str]:
    """Return the processes and files that are still there some seconds after the run; end and bury the former."""
    until = time.monotonic() + _GRACE_S
    while True:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        processes = [(pid, command) for pid, parent, command in _processes() if parent == os.getpid()]
        files = [entry.name for entry in folder.iterdir()]
        if not (processes or files) or time.monotonic() > until:
            break
        time.sleep(0.2)
    for pid, _ in processes:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return [f"process {command[:80]}" for _, command in processes] + [f"file {name}" for name in files]
