"""The rule catalogue: every kind of divergence that has a name."""

from __future__ import annotations

from conformance.rules import (
    behaviour,
    calls,
    messages,
    package,
    properties,
    responses,
    system,
    tool_definitions,
)
from conformance.rules.base import Rule, catalogue, rule

__all__ = [
    "Rule",
    "behaviour",
    "calls",
    "catalogue",
    "messages",
    "package",
    "properties",
    "responses",
    "rule",
    "system",
    "tool_definitions",
]
