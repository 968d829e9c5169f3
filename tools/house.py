"""How the house is built, in figures: `python -m tools.house [CLONE]…`, one column for each clone, to compare two.

Only the source is read, but for the modules that one case enters: those are counted by judging one case of a wrong
template with the clone's own package, every call noted.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_ENTERED = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
import conformance
home = str(Path(conformance.__file__).parent)
entered = set()
def note(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(home) and code.co_name != "<module>":
        entered.add(code.co_filename)
from conformance.campaign.check import check
from conformance.campaign.settings import Settings
from conformance.report.terminal import TerminalWriter
from conformance.sources import Provenance, make_template
text = Path("templates/gpt-oss.jinja").read_text("utf-8").replace("2024-06", "2024")
template = make_template("wrong", text.encode(), Provenance("file", "wrong.jinja"))
sys.setprofile(note)
report = check([template], Settings(cases=1, engines=("jinja2",)))
TerminalWriter().write(report)
sys.setprofile(None)
print("ENTERED", len(entered))
"""


def _trees(root: Path) -> Iterator[tuple[str, str, ast.Module]]:
    """Yield the package's modules: dotted name, text, syntax tree."""
    for path in sorted((root / "conformance").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        text = path.read_text("utf-8")
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), text, ast.parse(text)


def lines(root: Path) -> int:
    """Return the lines of the package's modules."""
    return sum(text.count("\n") for _, text, _ in _trees(root))


def _defining(root: Path, names: set[str]) -> int:
    kinds = (ast.FunctionDef, ast.ClassDef)
    return sum(
        any(isinstance(node, kinds) and node.name in names for node in tree.body)
        for _, _, tree in _trees(root)
    )


def registries(root: Path) -> int:
    """Return how many modules have their own way of finding plug-ins or of registering things."""
    return sum(
        any(
            (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "entry_points")
            or (isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == "register")
            for node in ast.walk(tree)
        )
        for _, _, tree in _trees(root)
    )


def aligners(root: Path) -> int:
    """Return how many modules align messages."""
    return _defining(root, {"align", "_aligned", "pairs"})


def gguf_readers(root: Path) -> int:
    """Return how many modules read GGUF files, by themselves or by gguf-py."""
    return sum('b"GGUF"' in text or "import GGUFReader" in text for _, text, _ in _trees(root))


def circles(root: Path) -> int:
    """Return how many rooms import each other in circles; imports inside functions count."""
    arrows: dict[str, set[str]] = {}
    for name, _, tree in _trees(root):
        room = name.split(".")[1] if "." in name else ""
        for node in ast.walk(tree):
            targets = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            targets += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for target in targets:
                other = target.split(".")[1] if target.startswith("conformance.") else room
                if room and other != room:
                    arrows.setdefault(room, set()).add(other)

    def reached(room: str) -> set[str]:
        found: set[str] = set()
        waiting = list(arrows.get(room, ()))
        while waiting:
            other = waiting.pop()
            if other not in found:
                found.add(other)
                waiting += arrows.get(other, ())
        return found

    return sum(room in reached(room) for room in arrows)


def entered(root: Path) -> int:
    """Return how many modules one case enters on its way to a card, in the process that judges."""
    done = subprocess.run(
        [sys.executable, "-c", _ENTERED],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root.resolve())},
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("ENTERED ")]
    if not found:
        raise SystemExit(f"the case did not run in {root}: {done.stderr[-500:]}")
    return int(found[0].split()[1])


FIGURES: dict[str, Callable[[Path], int]] = {
    "lines of the package": lines,
    "modules that one case enters": entered,
    "registries": registries,
    "aligners of messages": aligners,
    "GGUF readers": gguf_readers,
    "rooms in circles": circles,
}


def main(arguments: list[str]) -> None:
    """Print a row for each figure."""
    roots = [Path(argument) for argument in arguments] or [Path(__file__).parents[1]]
    for name, figure in FIGURES.items():
        print(f"{name:30}", *(f"{figure(root):>9,}" for root in roots))


if __name__ == "__main__":
    main(sys.argv[1:])
