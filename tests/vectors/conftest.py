from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from vector_helpers import fake_command

from conformance.renderers.process import Renderer
from conformance.vectors.files import Family, default_folder, read_folder, write_family
from conformance.vectors.judging import Result, judge_renderer


@pytest.fixture(scope="session")
def shipped() -> tuple[Family, ...]:
    return read_folder(default_folder())


@pytest.fixture(scope="session")
def few(shipped: tuple[Family, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first five vectors of the family `ends`."""
    folder = tmp_path_factory.mktemp("few")
    ends = next(family for family in shipped if family.name == "ends")
    write_family(folder, Family("ends", ends.vectors[:5]))
    return folder


@pytest.fixture
def fake(few: Path) -> Callable[..., list[Result]]:
    """Judge the fake renderer on the few vectors, misbehaving on those with these numbers."""

    def judged(mode: str, *numbers: int, limit_s: float = 1.0) -> list[Result]:
        families = read_folder(few)
        ids = ",".join(families[0].vectors[number].id for number in numbers) or "none"
        with Renderer(fake_command(mode, ids, few), limit_s=limit_s) as renderer:
            report, results = judge_renderer(renderer, families)
        assert report.targets[0].cases.total == sum(r.status != "not asked" for r in results)
        return results

    return judged
