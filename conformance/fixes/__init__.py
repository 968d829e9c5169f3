"""Repairs templates: one fix for each rule, applied only where a campaign proves that it helps and harms nothing.

A fix is a small class in `expressions.py` or `sections.py`, or of another package, under the entry point group
`conformance.fixes`.
"""
