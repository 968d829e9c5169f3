"""A pytest plug-in: chat templates as tests, and what other people's renderers are tested with.

`pytest --conformance-template chat_template.jinja` adds a test for each template of a target;
`pytest --conformance-jinja` collects every `*.jinja` file under the folders that pytest looks at. The options
`--conformance-examples` and `--conformance-fail-on` are those of `conformance check`. A failure shows the cards.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conformance.campaign.judge import Judge
    from conformance.conversation import Case

_MOST_CARDS = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; nothing heavy is imported unless one is used."""
    group = parser.getgroup("conformance", "chat templates against OpenAI's Harmony")
    group.addoption(
        "--conformance-template",
        action="append",
        default=[],
        metavar="TARGET",
        help="Judge this target; repeatable.",
    )
    group.addoption(
        "--conformance-jinja", action="store_true", help="Judge every *.jinja file that is collected."
    )
    group.addoption(
        "--conformance-examples", type=int, default=300, metavar="N", help="Conversations to generate."
    )
    group.addoption(
        "--conformance-fail-on", default="error", metavar="LEVEL", help="From which severity or impact on."
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a template file where `--conformance-jinja` asks for it."""
    if file_path.suffix == ".jinja" and parent.config.getoption("--conformance-jinja"):
        return TemplateFile.from_parent(parent, path=file_path)
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add a test for each target that was named."""
    for target in config.getoption("--conformance-template"):
        items.append(TemplateItem.from_parent(session, name=f"conformance[{target}]", target=target))


class TemplateFile(pytest.File):
    """A file with a template."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield its one test."""
        yield TemplateItem.from_parent(self, name="conformance", target=str(self.path))


class DivergesError(AssertionError):
    """A template fails the gate; the message holds its cards and its verdict."""


class TemplateItem(pytest.Item):
    """The test that a target's templates equal Harmony."""

    def __init__(self, *, target: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._target = target

    def runtest(self) -> None:
        """Judge the target; raises DivergesError with the cards, UsageError when it cannot be read."""
        option = self.config.getoption
        assert_conforms(
            self._target, examples=option("--conformance-examples"), fail_on=option("--conformance-fail-on")
        )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the cards alone: a traceback of ours would say nothing about the template."""
        from conformance.errors import ConformanceError

        if isinstance(excinfo.value, DivergesError | ConformanceError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return what pytest heads the failure with."""
        return self.path, None, self.name


def assert_conforms(target: str, *, examples: int = 300, fail_on: str = "error", seed: int = 0) -> None:
    """Raise DivergesError with its cards when a target's templates do not write what Harmony writes.

    Raises UsageError when the target cannot be read, UnjudgedError when nothing could be judged.
    """
    from rich.console import Console

    from conformance.campaign.check import check
    from conformance.campaign.settings import Settings
    from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, UnjudgedError
    from conformance.gate.exits import exit_code
    from conformance.gate.policy import FailOn, Policy
    from conformance.oracles.load import obtain
    from conformance.report.terminal import TerminalWriter
    from conformance.sources import resolve

    templates = resolve(target)
    obtain()
    report = check(templates, Settings(seed=seed, cases=examples))
    report = Policy(fail_on=FailOn(fail_on)).apply(report)
    code = exit_code(report)
    if code == EXIT_CONFORMS:
        return
    console = Console(file=io.StringIO(), width=100)
    TerminalWriter(console, _MOST_CARDS).write(report)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    raise UnjudgedError(text) if code == EXIT_UNJUDGED else DivergesError(text)


def assert_renders(case: Case, text: str, *, profile: str = "harmony") -> None:
    """Raise AssertionError, with both texts where they part, unless a renderer's text for a case is Harmony's.

    For tests with `@given(conformance.strategies.cases())`; a case that Harmony refuses is passed over.
    """
    judge = _judge(profile)
    answer = judge.answer(case)
    if answer is None or answer.rendering.text == text:
        return
    from conformance.compare.align import align, side_by_side
    from conformance.engines import Rendered
    from conformance.report.diff_view import Finding, plain_diff

    found = judge.judge(answer, Rendered(text)).found
    pairs = side_by_side(answer.rendering, align(answer.rendering, text))
    raise AssertionError(
        "the text is not Harmony's:\n" + plain_diff(pairs, findings=[Finding(one.rule, "") for one in found])
    )


@functools.cache
def _judge(name: str) -> Judge:
    from conformance.campaign.judge import Judge
    from conformance.oracles.profile import profile

    return Judge(profile(name))
