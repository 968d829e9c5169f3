"""A rule is a named kind of divergence; this is where rules are registered and looked up."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NewType, TypeAlias

from conformance.errors import UsageError
from conformance.rules.impacts import UNSAID, Loss

# The name of a rule. Only the catalogue makes them, so that a misspelt one is an error for mypy.
Slug = NewType("Slug", str)
Severity: TypeAlias = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of divergence: what it is called, why the model cares, who says so, and how to fix it.

    `citation` names a Harmony document or source, or a public issue. `loss` is what the model loses; `good` and `bad`
    are a few characters of a prompt or a template without and with it; `setting` is the profile setting whose other
    values may explain the divergence. A plug-in's rule may leave these four out.
    """

    code: str
    slug: Slug
    family: str
    severity: Severity
    what: str
    why: str
    citation: str
    fix: str
    loss: Loss = UNSAID
    good: str = ""
    bad: str = ""
    setting: str | None = None


_rules: dict[Slug, Rule] = {}


def register(rule: Rule) -> Rule:
    """Add a rule to the catalogue and return it; a slug or code that is taken is a programming error."""
    if rule.slug in _rules or any(rule.code == known.code for known in _rules.values()):
        raise ValueError(f"rule {rule.code} {rule.slug} is registered twice")
    _rules[rule.slug] = rule
    return rule


def catalogue() -> Iterator[Rule]:
    """Yield all rules in the order of their codes."""
    yield from sorted(_rules.values(), key=lambda rule: rule.code)


def rule(slug: str) -> Rule:
    """Return the rule with this slug or code.

    Raises UsageError, suggesting near names, when there is none.
    """
    found = _rules.get(Slug(slug)) or next((r for r in _rules.values() if r.code == slug.upper()), None)
    if found is None:
        near = difflib.get_close_matches(slug, _rules, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "`conformance explain` lists them all."
        raise UsageError(f"No rule is called {slug!r}; {hint}")
    return found


def loss_of(slug: str) -> Loss:
    """Return what the model loses when this rule is broken; of a rule that nobody knows, the gravest."""
    known = _rules.get(Slug(slug))
    return UNSAID if known is None else known.loss
