"""What the tests of fixes share: a wrong template of our own, and repairs rendered in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.engines.in_process import InProcessHost
from conformance.fixes.repair import Repair, repair
from conformance.fixes.trial import Trials
from conformance.resources import resource
from conformance.sources import Template, catalogue

REFERENCE = resource("templates", "gpt-oss.jinja").read_text("utf-8")
WRONG = (Path(__file__).parent / "wrong.jinja").read_text("utf-8")
NO_HARMONY = "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
ENGINE = "jinja2"


@contextmanager
def small_runner(cases: int = 60, seed: int = 0) -> Iterator[Runner]:
    """A runner whose engine works in this process: the templates of these tests are trusted."""
    settings = Settings(seed=seed, cases=cases, engines=(ENGINE,))
    with Runner(settings, hosts={ENGINE: InProcessHost(ENGINE)}) as runner:
        yield runner


def repaired(runner: Runner, text: str, cases: int = 60, seed: int = 0) -> Repair:
    return repair(runner, text, seed=seed, cases=cases)


def rules(runner: Runner, text: str, cases: int = 60) -> dict[str, int]:
    """Return in how many conversations a template shows each rule."""
    return dict(Trials.drawn(runner, 0, cases, text).judge(text).counts)


def edited(text: str, find: str, replace: str) -> str:
    assert text.count(find) == 1, f"{find!r} stands {text.count(find)} times"
    return text.replace(find, replace)


def known_templates() -> list[Template]:
    """Return the catalogue's templates that are cached; skips the test where none is."""
    found = [each.template for each in catalogue.fetch(offline=True) if each.template is not None]
    if not found:
        pytest.skip("no template of the catalogue is cached; `conformance templates fetch` gets them")
    return found
