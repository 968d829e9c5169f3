"""Fixes find the parts of the reference template by its marks, whatever its variables and comments are called."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from conformance.fixes import reference
from conformance.fixes.base import SkippedError, fixes
from conformance.resources import resource
from conformance.template.parts import Source

TEXT = resource("templates", "gpt-oss.jinja").read_text("utf-8")
SECTIONS = {fix.name: fix for fix in fixes() if fix.size == "section"}
Use = Callable[[str], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Let another text be the reference template."""

    def use(text: str) -> None:
        assert text != TEXT
        source = Source(text)
        monkeypatch.setattr(reference, "reference", lambda: source)

    return use


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("assistant-and-results", "step"),
        ("assistant-and-results", "said"),
        ("developer-message", "has_tools"),
    ],
)
def test_a_variable_of_the_reference_can_be_renamed(use: Use, name: str, variable: str) -> None:
    before = SECTIONS[name].apply(Source(TEXT))
    use(re.sub(rf"\b{variable}\b", "other", TEXT))
    after = SECTIONS[name].apply(Source(TEXT))
    assert re.sub(rf"\bharmony_{variable}\b", "harmony_other", before) == after


def test_comments_of_the_reference_can_be_reworded(use: Use) -> None:
    before = SECTIONS["assistant-and-results"].apply(Source(TEXT))
    use(TEXT.replace("The first 18 characters are the prompt", "What the model is given comes first"))
    assert SECTIONS["assistant-and-results"].apply(Source(TEXT)) == before


@pytest.mark.parametrize("name", ["first-look", "state", "has-tools"])
def test_a_missing_mark_is_one_sentence(use: Use, name: str) -> None:
    use(TEXT.replace(f"{{#- end: {name} -#}}\n", ""))
    with pytest.raises(
        SkippedError, match=rf"templates/gpt-oss\.jinja lacks the marks \{{#- part: {name} -#\}}"
    ) as caught:
        reference.part(name)
    assert "\n" not in str(caught.value)


def test_missing_training_marks_are_one_sentence(use: Use) -> None:
    use(TEXT.replace("{#- training: generation -#}", ""))
    with pytest.raises(SkippedError, match="no text split by its training marks"):
        SECTIONS["assistant-and-results"].apply(Source(TEXT))
