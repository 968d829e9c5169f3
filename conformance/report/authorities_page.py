"""The published comparison of authorities, as Markdown and as JSON; the same seed gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from conformance.conversation import Case
from conformance.oracles.authorities import Authority
from conformance.report.cards import percent
from conformance.report.files import to_json
from conformance.report.markdown import case_cell, cell, rounded

SCHEMA: Final = "conformance-authorities/1"


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of difference: a rule's slug, or what is said in words; with its smallest conversation."""

    what: str
    code: str
    count: int
    share: float
    case_id: str
    case: Case
    expected: str
    actual: str
    minimal: bool


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """One authority against the first: `cases` were rendered by both, `equal` of them with the same tokens.

    `unanswered` counts the conversations on which one of the two gave no answer, by its reason; `renders` is the hash
    of the golden set.
    """

    authority: Authority
    note: str
    cases: int
    equal: int
    unanswered: dict[str, int]
    kinds: list[Kind]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Authorities compared over one campaign; `complete` is False when it was interrupted."""

    first: Authority
    seed: int
    others: list[Contrast]
    complete: bool = True


def comparison_json(comparison: Comparison) -> bytes:
    """Return the comparison as indented JSON in UTF-8."""
    data = {
        "schema": SCHEMA,
        "first": _authority(comparison.first),
        "run": {"seed": comparison.seed, "complete": comparison.complete},
        "others": [
            {
                "authority": _authority(other.authority),
                "note": other.note,
                "cases": other.cases,
                "equal": other.equal,
                "unanswered": other.unanswered,
                "kinds": [
                    {**msgspec.structs.asdict(kind), "share": rounded(kind.share)} for kind in other.kinds
                ],
            }
            for other in comparison.others
        ],
    }
    return msgspec.json.format(to_json(data), indent=2) + b"\n"


def comparison_markdown(comparison: Comparison) -> str:
    """Return the comparison as Markdown; whatever a conversation holds is inert in it."""
    return "\n".join(_markdown(comparison)) + "\n"


def _authority(authority: Authority) -> dict[str, Any]:
    """Return what is the same on every platform."""
    return {name: getattr(authority, name) for name in ("name", "version", "distribution", "renders")}


def _markdown(comparison: Comparison) -> Iterator[str]:
    first = comparison.first
    yield "# Libraries that render Harmony, against each other"
    yield ""
    yield (
        f"Each library was given the same generated messages as {_title(first)} (seed {comparison.seed}), calls with "
        "the content type `json` in one half and `<|constrain|>json` in the other. Equal means the same tokens. "
        "`conformance authorities compare` makes this page; docs/authorities.md tells what an authority is. A "
        "library's reading is its own, and none of them is a fault by itself."
    )
    if not comparison.complete:
        yield from ("", "**Incomplete: the run was ended early.**")
    yield ""
    yield "| Authority | Package | Conversations | Equal | Kinds of difference | Golden set |"
    yield "|---|---|--:|--:|--:|---|"
    for other in comparison.others:
        judge = other.authority
        cells = [
            cell(judge.name),
            cell(f"{judge.distribution} {judge.version}"),
            f"{other.cases:,}",
            percent(other.equal / other.cases) if other.cases else "",
            f"{len(other.kinds)}",
            f"`{judge.renders[:12]}`" + (" (as the first)" if judge.renders == first.renders else ""),
        ]
        yield f"| {' | '.join(cells)} |"
    for other in comparison.others:
        yield from ("", f"## {cell(other.authority.name)}", "", f"{cell(other.note)}.")
        for reason, count in sorted(other.unanswered.items()):
            yield from ("", f"No answer on {count:,} conversations: {cell(reason)}.")
        if not other.kinds:
            continue
        yield ""
        yield f"| Difference | Share | {cell(first.name)} | {cell(other.authority.name)} | Smallest conversation |"
        yield "|---|--:|---|---|---|"
        for kind in other.kinds:
            cells = [
                f"{kind.code} {cell(kind.what)}".strip(),
                percent(kind.share),
                cell(kind.expected),
                cell(kind.actual),
                case_cell(kind.case),
            ]
            yield f"| {' | '.join(cells)} |"


def _title(authority: Authority) -> str:
    return f"{authority.distribution} {authority.version}"
