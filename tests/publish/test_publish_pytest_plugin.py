"""The pytest plug-in, in a pytest of its own."""

from __future__ import annotations

import pytest

from conformance.resources import resource

pytest_plugins = ("pytester",)
REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")


def test_templates_are_tests(pytester: pytest.Pytester) -> None:
    (pytester.path / "right.jinja").write_text(REFERENCE)
    (pytester.path / "wrong.jinja").write_text(REFERENCE.replace("2024-06", "2023"))
    (pytester.path / "test_own.py").write_text(
        "from hypothesis import Phase, given, settings\n"
        "from conformance.pytest_plugin import assert_renders\n"
        "from conformance.strategies import cases\n"
        "@settings(max_examples=3, deadline=None, phases=[Phase.generate])\n"
        "@given(cases())\n"
        "def test_renderer(case):\n"
        "    assert_renders(case, 'nothing')\n"
    )
    result = pytester.runpytest_subprocess(
        "--conformance-jinja", "--conformance-template", "nowhere.jinja", "--conformance-examples", "20"
    )
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines_random(
        ["*HT101 system-text*", "*no such file or folder: nowhere.jinja*", "*the text is not Harmony's*"]
    )
    result.stdout.no_fnmatch_line("*pytest_plugin.py*in runtest*")
