"""The generator of cases: one grammar, its drivers, its texts, and the count of what it reached."""

from conformance.generate.draws import Draw, HypothesisDraw, RandomDraw, Weighted
from conformance.generate.grammar import Grammar, case_at
from conformance.generate.scene import Hints

__all__ = ["Draw", "Grammar", "Hints", "HypothesisDraw", "RandomDraw", "Weighted", "case_at"]
