"""Judge several renderers on the same conversations, and time them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

from msgspec.structs import replace as replace_fields

from conformance.campaign.check import check
from conformance.campaign.listener import Silent
from conformance.campaign.settings import Settings
from conformance.errors import ConformanceError
from conformance.oracles.load import authority
from conformance.renderers.environments import installed
from conformance.renderers.known import PREFIX, Known
from conformance.report.model import Report
from conformance.report.renderers_page import Renderers, Row
from conformance.targets.base import Group, Target
from conformance.targets.renderer import RendererHost, open_known

# What takes part in a prompt; the rest of an environment says nothing about it.
_TELLING = ("openai-harmony", "oss-harmony", "transformers", "jinja2", "tokenizers")

Advance = Callable[[str, int, int], None]


class _Watch(Silent):
    def __init__(self, advance: Advance) -> None:
        self._advance = advance

    def progress(self, target: Target, done: int, total: int) -> None:
        self._advance(target.name, done, total)


def compare(entries: Sequence[Known], settings: Settings, advance: Advance) -> Renderers:
    """Return what each renderer makes of the same campaign; one that cannot be asked has its error instead."""
    rows: list[Row] = []
    complete = True
    for entry in entries:
        try:
            row, whole = _judged(entry, settings, advance)
        except ConformanceError as error:
            row, whole = replace_fields(_row(entry), error=str(error)), True
        rows.append(row)
        complete &= whole
        if not whole:
            break
    return Renderers(
        authority=str(authority(settings.authority).authority),
        seed=settings.seed,
        cases=settings.cases,
        rows=rows,
        complete=complete,
    )


def _judged(entry: Known, settings: Settings, advance: Advance) -> tuple[Row, bool]:
    group = open_known(f"{PREFIX}{entry.name}", limit_s=60.0, readings=settings.profile)
    try:
        report = _report(group, settings, advance)
    finally:
        group.close()
    (host,) = group.hosts.values()
    assert isinstance(host, RendererHost)
    (target,) = report.targets
    row = replace_fields(
        _row(entry),
        start_s=round(host.seconds[0], 1) if host.seconds else 0.0,
        prompt_ms=round(1000 * median(host.seconds[1:]), 1) if host.seconds[1:] else 0.0,
        target=None if target.verdict == "error" else target,
        error=target.error or "",
    )
    # A renderer that is gone is its own row; an interruption ends the page.
    return row, report.run.ended != "interrupted"


def _report(group: Group, settings: Settings, advance: Advance) -> Report:
    own = replace(settings, engines=tuple(group.hosts), shapes=group.shapes)
    return check(group.targets, own, _Watch(advance), hosts=group.hosts)


def _row(entry: Known) -> Row:
    found = installed(entry)
    packages = (
        [] if found is None else [name for name in found.packages if name.partition("==")[0] in _TELLING]
    )
    return Row(name=entry.name, what=entry.what, home=entry.home, package=str(entry), packages=packages)
