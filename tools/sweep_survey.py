"""`python -m tools.sweep_survey`: sweep the survey's templates, kill it in the middle, go on, and compare the bytes."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools.survey import templates

_ENGINES = ("jinja2", "minijinja", "transformers", "llama.cpp")


def main() -> int:
    """Print how many records each run made; exit 1 when the final bytes differ."""
    parser = argparse.ArgumentParser(prog="python -m tools.sweep_survey", description=__doc__)
    parser.add_argument("--templates", type=int, default=786, help="so many, spread over all")
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--engine", action="append", help=f"repeatable; default: {', '.join(_ENGINES)}")
    parser.add_argument(
        "--kill-at", type=float, default=0.5, help="the share of records at which it is killed"
    )
    options = parser.parse_args()
    engines = options.engine or list(_ENGINES)
    with tempfile.TemporaryDirectory(prefix="sweep-") as name:
        folder = Path(name)
        every = list(templates())
        chosen = every[:: max(1, len(every) // options.templates)][: options.templates]
        names = []
        for number, template in enumerate(chosen):
            file = folder / f"{number:03}-{Path(template.name).name[:80]}.jinja"
            file.write_text(template.text, encoding="utf-8", newline="")
            names.append(str(file))
        (folder / "list.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        how = [f"--engine={engine}" for engine in engines]
        how += [f"--examples={options.examples}", f"--jobs={options.jobs}", "--offline"]

        def start(output: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-P", "-m", "conformance", "sweep", "run", "list.txt", *how]
            return subprocess.Popen(
                [*command, "--output", output],
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

        begin = time.monotonic()
        whole = start("whole.sqlite").wait()
        took = time.monotonic() - begin
        total = _rows(folder / "whole.sqlite")
        if total == 0:
            print(f"nothing was swept, exit code {whole}")
            return 1
        print(
            f"whole: {total} records in {took:.0f} s, {total / took:.2f} a second, exit code {whole}",
            flush=True,
        )
        killed = start("killed.sqlite")
        while killed.poll() is None and _rows(folder / "killed.sqlite") < options.kill_at * total:
            time.sleep(0.1)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        print(f"killed with {_rows(folder / 'killed.sqlite')} of {total} records", flush=True)
        again = start("killed.sqlite").wait()
        print(f"gone on with: {_rows(folder / 'killed.sqlite')} records, exit code {again}", flush=True)
        same = _report(folder, "whole.sqlite", "--json") == _report(folder, "killed.sqlite", "--json")
        print("the final bytes are the same" if same else "the final bytes DIFFER")
        print(_report(folder, "whole.sqlite").decode())
    return int(not same)


def _rows(path: Path) -> int:
    with contextlib.suppress(sqlite3.Error), sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        return int(database.execute("select count(*) from record").fetchone()[0])
    return 0


def _report(folder: Path, file: str, *more: str) -> bytes:
    command = [sys.executable, "-P", "-m", "conformance", "sweep", "report", "--output", file, *more]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout


if __name__ == "__main__":
    sys.exit(main())
