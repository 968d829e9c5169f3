"""The same prompt on two dates but for the date itself, and the same prompt twice on one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from conformance.checks.base import Finding, register
from conformance.checks.bench import Bench
from conformance.checks.probe import Probe
from conformance.compare.base import parting
from conformance.conversation import DEFAULT_DATE
from conformance.engines.base import Rendered
from conformance.rules.properties import NOT_REPRODUCIBLE

OTHER_DATE = "2031-11-09"
# Templates reckon with dates (yesterday, the day of the year): all numbers and names of days and months may differ.
_DATE_WORDS = re.compile(
    r"[0-9]+|(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?|Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?"
    r"|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?"
)
_TRIED = frozenset({"user", "system-user", "tool-system-user", "tool-loop"})


@register("dates")
def dates(bench: Bench, probe: Probe) -> Iterator[Finding]:
    """Yield a finding when a prompt depends on more than the conversation and the date."""
    if probe.name not in _TRIED:
        return
    request = probe.request(generation=probe.asks)
    first = bench.outcome(request)
    if not isinstance(first, Rendered):
        return
    later = bench.outcome(probe.request(generation=probe.asks, date=OTHER_DATE))
    for what, other in (("two renderings on one day", bench.again(request)), ("another date", later)):
        text = other.text if isinstance(other, Rendered) else None
        if text is not None and _undated(text) == _undated(first.text):
            continue
        place = None if text is None else parting(first.text, text)
        yield Finding(
            NOT_REPRODUCIBLE.slug,
            probe,
            what,
            expected=first.text,
            actual=text,
            offset=place,
            actual_offset=place,
            failure=None if text is not None else f"on {OTHER_DATE}, not on {DEFAULT_DATE}: {other}",
        )
        return


def _undated(text: str) -> str:
    return _DATE_WORDS.sub("date", text)
