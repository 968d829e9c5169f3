"""Tell the causes of one rule apart: places whose smallest cases lead to other lines of the template are other causes.

In how many places a rule was seen is counted in the campaign (`compare.places`); that two of them are two causes is
known only when each has been shrunk. The commonest are, and what is left is counted as one.
"""

from __future__ import annotations

from collections.abc import Callable

from conformance.campaign.assemble import Shown
from conformance.campaign.sightings import RuleTally
from conformance.compare.places import place
from conformance.conversation import to_json

# So many places of a rule are shrunk, the commonest first, each costs as much as a rule; rarer ones are one cause.
_MOST = 3
# A place with so small a share of what is seen of its rule is none of those.
_LEAST = 0.02

Cause = tuple[RuleTally, Shown]


def causes(
    seen: RuleTally,
    shown: Shown,
    shrink: Callable[[RuleTally, str], Shown | None],
    as_seen: Callable[[RuleTally], Shown | None],
) -> list[Cause]:
    """Return the causes of a rule, the commonest first; one alone, without a name, where they cannot be told apart.

    `shown` is the rule's smallest case, shrunk; `shrink` does that for one place, `as_seen` leaves a case as it was.
    """
    if len(seen.places) < 2 or shown.found.difference is None:
        return [(seen, shown)]
    ranked = sorted(seen.places, key=lambda name: (-seen.places[name].count, name))
    common = [name for name in ranked[:_MOST] if seen.places[name].count >= _LEAST * seen.count]
    known = {place(shown.found.difference): shown}
    groups: dict[object, list[str]] = {}
    cases: dict[object, Shown] = {}
    rest = [name for name in ranked if name not in common]
    for name in common:
        small = known.get(name) or shrink(seen.places[name], name)
        if small is None:
            rest.append(name)
            continue
        mark = _mark(small)
        groups.setdefault(mark, []).append(name)
        cases.setdefault(mark, small)
    if len(groups) < 2:
        # The rarer places are taken for the same: nothing says that they are not.
        return [(seen, shown)]
    found = [(seen.of(names, names[0]), cases[mark]) for mark, names in groups.items()]
    if rest:
        whole = seen.of(rest, rest[0] if len(rest) == 1 else f"{len(rest)} more causes")
        met = as_seen(whole)
        found += [(whole, met)] if met is not None else []
    return sorted(found, key=lambda each: -each[0].count)


def _mark(shown: Shown) -> object:
    """Return what two places of one cause have in common: the first decision on both, else the lines, else the case."""
    origin = shown.origin
    if origin is not None and origin.decisive:
        return "decided", origin.decisive[-1]
    if shown.line is not None:
        return shown.line
    if origin is not None and origin.between:
        return tuple(origin.between)
    return to_json(shown.case)
