"""What a sweep found, as lines of JSON or as a page: the same bytes from the same records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from conformance.errors import printable
from conformance.sweep.unit import Record

_MOST = 20


def lines(records: Iterable[Record]) -> bytes:
    """Return the records as JSON Lines, in their order."""
    return b"".join(msgspec.json.encode(each) + b"\n" for each in records)


def page(records: Sequence[Record], settings: Mapping[str, str]) -> str:
    """Return a summary in Markdown: verdicts by engine, and the rules that most templates break."""
    engines = sorted({each.engine for each in records})
    counts = Counter((each.engine, _verdict(each)) for each in records)
    words = sorted({word for _, word in counts})
    templates = len({each.sha256 for each in records})
    said = ", ".join(f"{name} {value}" for name, value in sorted(settings.items()))
    out = [
        "# Sweep",
        "",
        f"{templates:,} templates on {len(engines)} engines: {len(records):,} records ({said}).",
        "",
        f"| engine | {' | '.join(words)} |",
        f"|---|{'---|' * len(words)}",
    ]
    out += [f"| {name} | {' | '.join(f'{counts[name, word]:,}' for word in words)} |" for name in engines]
    broken: Counter[tuple[str, str]] = Counter()
    for each in records:
        broken.update({(rule.rule, rule.severity) for rule in each.rules})
    if broken:
        out += ["", "| rule | severity | templates × engines |", "|---|---|---|"]
        most = sorted(broken.items(), key=lambda item: (-item[1], item[0]))[:_MOST]
        out += [f"| {rule} | {severity} | {count:,} |" for (rule, severity), count in most]
    failed = Counter(printable(each.error, 100) for each in records if each.error)
    if failed:
        out += ["", "Not judged, or not to the end:", ""]
        most_failed = sorted(failed.items(), key=lambda item: (-item[1], item[0]))[:_MOST]
        out += [f"- {count:,} × {reason.replace('|', chr(92) + '|')}" for reason, count in most_failed]
    return "\n".join(out) + "\n"


def _verdict(record: Record) -> str:
    return record.verdict if record.harmony or record.verdict != "diverges" else "not Harmony"
