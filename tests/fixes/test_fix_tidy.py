"""Nothing is left behind that a repair made useless, and nothing else goes."""

from __future__ import annotations

import pytest

from conformance.fixes.tidy import tidied

MACRO = "{% macro m(x) %}{{ x }}{% endmacro %}"


@pytest.mark.parametrize(
    ("original", "text", "left"),
    [
        (f"{MACRO}\n{{{{ m(1) }}}}", f"{MACRO}\n{{{{ 2 }}}}", "\n{{ 2 }}"),
        ("{% set a = 1 %} {{ a }}", "{% set a = 1 %} {{ 2 }}", " {{ 2 }}"),
        # A chain: the variable was read by the macro only.
        (
            "{% set a = 1 %}{% macro m() %}{{ a }}{% endmacro %}{{ m() }}",
            "{% set a = 1 %}{% macro m() %}{{ a }}{% endmacro %}{{ 2 }}",
            "{{ 2 }}",
        ),
        # A macro that only calls itself is dead.
        (
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "{% macro m() %}{{ m() }}{% endmacro %}x",
            "x",
        ),
        # Still used.
        (f"{MACRO}{{{{ m(1) }}}}", f"{MACRO}{{{{ m(2) }}}}", f"{MACRO}{{{{ m(2) }}}}"),
        # Useless before, so that it is the author's.
        (f"{MACRO}{{{{ 1 }}}}", f"{MACRO}{{{{ 2 }}}}", f"{MACRO}{{{{ 2 }}}}"),
        ("{% set a = 1 %}{{ 1 }}", "{% set a = 1 %}{{ 2 }}", "{% set a = 1 %}{{ 2 }}"),
        # A block that is set has an end elsewhere and stays.
        ("{% set a %}1{% endset %}{{ a }}", "{% set a %}1{% endset %}", "{% set a %}1{% endset %}"),
    ],
)
def test_what_goes(original: str, text: str, left: str) -> None:
    assert tidied(text, original) == left
