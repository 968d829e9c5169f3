"""Repairs templates: one fix for each rule, applied only where a campaign proves that it helps and harms nothing.

A new fix is a small class in `expressions.py` or `sections.py`, decorated with `register`.
"""

import conformance.fixes.expressions
import conformance.fixes.sections  # noqa: F401
