"""Sessions: one concern each. `nox -s conformance` is the main job, `nox -s tests` what CI runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["conformance"]

# The CPU build where an index offers it; any 2.x works.
TORCH = "torch==2.13.0"


@nox.session
def conformance(session: nox.Session) -> None:
    """Judge the whole catalogue, or the targets given after `--`."""
    session.install("-e", ".")
    if session.posargs:
        # nox would make one code of all: a gate needs check's own.
        path = os.pathsep.join(session.bin_paths) if session.bin_paths else None
        done = subprocess.run(
            [shutil.which("conformance", path=path) or "conformance", "check", *session.posargs]
        )
        if done.returncode:
            session.log(f"conformance check ended with exit code {done.returncode}")
            raise SystemExit(done.returncode)
        return
    session.run("conformance", "scoreboard")
    session.run("conformance", "precision", "--short", success_codes=[0, 3])


@nox.session
def precision(session: nox.Session) -> None:
    """Check the precision of MoE forward passes on this machine's GPU, or on the CPU."""
    session.install("-e", ".[precision,plots]", TORCH)
    if session.posargs[:1] in (["compare"], ["attention"], ["explain"]) or "--output" in session.posargs:
        session.run("conformance", "precision", *session.posargs)
        return
    folder = "reports/runs/precision"
    session.run("conformance", "precision", "--output", folder, *session.posargs, success_codes=[0, 1])
    # Its exit code is the run's: 1 where something is not what the declared formats allow.
    session.run(
        "conformance", "report", folder, "--format", f"html={folder}/report.html", "--format", "terminal"
    )


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, on all cores; those marked `long` by `nox -s long_tests`."""
    _test(session)


@nox.session
def long_tests(session: nox.Session) -> None:
    """Run the tests that take their time: every planted fault, whole repairs, the code in the documentation."""
    _test(session, "-m", "long")


@nox.session
def extra_tests(session: nox.Session) -> None:
    """Run the tests that need what `tests` leaves out for its size: bitsandbytes' own products, Dask's own cluster."""
    session.install("-e", ".[test,precision,engines,servers,nf4,dask]", TORCH)
    session.run("pytest", "tests/precision/test_stored.py", "tests/sweep", *session.posargs)


def _test(session: nox.Session, *chosen: str) -> None:
    session.install("-e", ".[test,precision,engines,plots,servers]", TORCH)
    # Tests on real templates skip, with a reason, where neither cache nor network has them.
    session.run("conformance", "templates", "fetch", success_codes=[0, 2])
    # So do those on engines that are not installed; these need Node.js and npm.
    session.run("conformance", "engines", "fetch", success_codes=[0, 2])
    session.run("pytest", "-n", "auto", "--dist", "worksteal", *chosen, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and the direction of imports."""
    session.install("-e", ".", "ruff", "mypy", "import-linter", "nox", "pytest>=8.3")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation strictly, into site/."""
    session.install("mkdocs-material>=9.6")
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def release(session: nox.Session) -> None:
    """Build wheel and sdist, check them, and run the main job from each in a fresh environment, offline.

    With `-- --tests` the tests of the sdist run in it too.
    """
    session.install("build>=1.2", "twine>=6.1")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist")
    built = sorted(Path("dist").iterdir())
    session.run("twine", "check", "--strict", *map(str, built))
    template = Path("templates/gpt-oss.jinja").resolve()
    # Where nothing answers: whoever asks the network in spite of --offline fails here.
    offline = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "PIP_NO_INDEX": "1"}
    for file in built:
        with tempfile.TemporaryDirectory() as folder:
            fresh, work = Path(folder) / "env", Path(folder) / "work"
            work.mkdir()
            session.run("python", "-m", "venv", str(fresh))
            session.run(str(fresh / "bin" / "pip"), "install", "--quiet", str(file.resolve()), external=True)
            command = str(fresh / "bin" / "conformance")
            alone = {**offline, "CONFORMANCE_RUNS": str(Path(folder) / "runs")}
            with session.chdir(work):
                session.run(command, "--version", external=True)
                checked = ["check", str(template), "--offline", "--examples", "300", "--cards", "0"]
                session.run(command, *checked, external=True, env=alone)
                board = ["scoreboard", "--offline", "--examples", "50", "--output", "reports"]
                session.run(command, *board, external=True, env=alone, success_codes=[0, 3])
            if "--tests" in session.posargs and file.suffix == ".gz":
                _test_sdist(session, file.resolve(), Path(folder))


def _test_sdist(session: nox.Session, file: Path, folder: Path) -> None:
    """Run the tests of an sdist where it was unpacked."""
    shutil.unpack_archive(file, folder, filter="data")
    (unpacked,) = folder.glob("chat_template_conformance-*")
    session.install("-e", f"{unpacked}[test,precision,engines,plots,servers]", TORCH)
    rest = [argument for argument in session.posargs if argument != "--tests"]
    with session.chdir(unpacked):
        session.run("pytest", "-n", "auto", "--dist", "worksteal", *rest)


@nox.session
def site(session: nox.Session) -> None:
    """Write what GitHub Pages serves, into reports/site: a page and a badge for each template, and docs/."""
    session.install("-e", ".", "mkdocs-material>=9.6")
    kept = session.create_tmp()
    session.run("conformance", "scoreboard", "--site", "reports/site", "--output", kept, *session.posargs)
    session.run("mkdocs", "build", "--site-dir", "reports/site/docs", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def fuzz(session: nox.Session) -> None:
    """Read mutated files with every reader: `nox -s fuzz -- --mutations 100000 --seed 1`."""
    session.install("-e", ".[precision]", TORCH)
    session.run("python", "-m", "tools.fuzz", *session.posargs)


@nox.session
def attacks(session: nox.Session) -> None:
    """Judge hostile templates on every engine: `nox -s attacks -- --write` renews reports/attacks.*."""
    session.install("-e", ".[engines]")
    session.run("python", "-m", "tools.attacks", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Kill and stop processes of running checks: `nox -s soak -- --minutes 15 --seed 1`."""
    session.install("-e", ".[engines]")
    session.run("python", "-m", "tools.soak", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Time the campaign as ratios to the bare renders, and beside other tools, in one run."""
    session.install("-e", ".[engines]", "chatlint==0.1.2")
    session.run("python", "-m", "tools.bench", *session.posargs)


@nox.session
def servers(session: nox.Session) -> None:
    """Judge the real servers: installs vLLM (3.5 GB) apart from all else, or takes the Python in CONFORMANCE_VLLM."""
    session.install("-e", ".[servers,engines]")
    theirs = os.environ.get("CONFORMANCE_VLLM")
    session.run("conformance", "renderers", "fetch", "vllm", *(["--python", theirs] if theirs else []))
    session.run("conformance", "templates", "fetch", "openai-gpt-oss-120b")
    session.run("python", "-m", "tools.servers", "--server", "all", *session.posargs)


@nox.session
def renew(session: nox.Session) -> None:
    """Renew all that is generated: tables, pages, vectors, the score of the planted faults, cards of rules."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tools.renew")
    session.run("pytest", "-q", "--snapshot-update", "tests/rules/test_rules_table.py")
