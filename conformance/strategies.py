"""Hypothesis strategies for your own tests: the grammar that the campaign uses, with shrinking.

from hypothesis import given
from conformance.strategies import cases

@given(cases())
def test_my_renderer(case): ...
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from conformance.conversation import Case, Conversation, Tool
from conformance.generate.draws import as_strategy
from conformance.generate.grammar import Grammar
from conformance.generate.scene import Hints

_NO_HINTS = Hints()


def cases(hints: Hints = _NO_HINTS) -> st.SearchStrategy[Case]:
    """Return a strategy for cases: conversations together with the options of a rendering."""
    return as_strategy(Grammar(hints).case)


def conversations(hints: Hints = _NO_HINTS) -> st.SearchStrategy[Conversation]:
    """Return a strategy for conversations: messages and the tools on offer."""
    return as_strategy(Grammar(hints).conversation)


def tools(hints: Hints = _NO_HINTS) -> st.SearchStrategy[Tool]:
    """Return a strategy for single tools."""
    return as_strategy(Grammar(hints).tool)


def schemas(hints: Hints = _NO_HINTS) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for the JSON Schema of one property, nested to depth 3."""
    return as_strategy(Grammar(hints).schema)
