"""Properties that every chat template should have, of whatever family: nothing here asks an oracle.

A check is one module with a function decorated by `register`, or an entry point in the group
`conformance.checks`; `examine` runs all of them on a template.
"""

from __future__ import annotations

from conformance.checks.base import CHECKS, Check, Finding, checks, register

__all__ = ["CHECKS", "Check", "Finding", "checks", "register"]
