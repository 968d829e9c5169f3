"""Naming rules on the command line and in files: by code, by the beginning of a code, by slug, or by family."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from conformance.errors import UsageError
from conformance.rules import catalogue

ALL = "all"
_PREFIX = re.compile(r"HT\d{0,2}", re.IGNORECASE)


def rules_named(selector: str) -> frozenset[str]:
    """Return the slugs that a selector means: `HT203`, `HT2`, `default-literal`, `tool-definitions` or `all`.

    Raises UsageError, with the nearest names, when it means nothing.
    """
    wanted = selector.strip().lower().replace(" ", "-")
    known = list(catalogue())
    found = frozenset(
        rule.slug
        for rule in known
        if wanted in (ALL, rule.slug, rule.code.lower(), rule.family.replace(" ", "-"))
        or (_PREFIX.fullmatch(wanted) and rule.code.lower().startswith(wanted))
    )
    if not found:
        names = {
            name.lower(): name
            for rule in known
            for name in (rule.slug, rule.code, rule.family.replace(" ", "-"))
        }
        near = [names[name] for name in difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)]
        hint = f"did you mean {', '.join(near)}?" if near else "`conformance explain` lists them all."
        raise UsageError(f"No rule, family or beginning of a code is called {selector!r}; {hint}")
    return found


def all_named(selectors: Iterable[str]) -> frozenset[str]:
    """Return the slugs of several selectors, each of which may be a list with commas."""
    each = [part for selector in selectors for part in selector.split(",") if part.strip()]
    return frozenset().union(*(rules_named(part) for part in each))
