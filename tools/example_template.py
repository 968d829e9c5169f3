"""Makes the template of `examples/first-template`: the reference template with three planted faults."""

from __future__ import annotations

from tools import mutants

FAULTS = ("two-newlines-after-instructions", "comma-inside-comment", "results-encoded")


def example_template() -> str:
    """Return the template; raises StopIteration when a fault is planted no more."""
    text = mutants.reference_text()
    planted = mutants.load()
    for name in FAULTS:
        text = mutants.apply(next(mutant for mutant in planted if mutant.name == name), text)
    return text
