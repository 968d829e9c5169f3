"""The page: who is right, who could not be asked, what is refused; nothing of a conversation is live in it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from msgspec.structs import replace

from conformance.report.json_file import read
from conformance.report.renderers_page import Renderers, Row, best, page_json, page_markdown

PROGRAM = Path(__file__).parents[1] / "servers" / "program.py"


def test_the_page(run, place: Path) -> None:  # type: ignore[no-untyped-def]
    command = shlex.join([sys.executable, str(PROGRAM), "no-tools"])
    run("check", "--command", command, "--examples", "30", "--output", "out")
    (target,) = read(place / "out").targets
    row = Row(
        name="a", what="a <b>", home="me, MIT", package="a 1.0", packages=["x==1"], start_s=2.0, prompt_ms=3.5,
        target=target,
    )  # fmt: skip
    gone = replace(row, name="b", target=None, error="it never answered: /home/me/x")
    found = Renderers(authority="openai-harmony 0.0.8", seed=0, cases=30, rows=[row, gone])
    assert best(target) == ("harmony", 1.0)
    page = page_markdown(found)
    refused = target.cases.refused
    assert f"| a | a 1.0 | {30 - refused} | {refused / 0.3:.1f}".removesuffix(".0") in page
    assert "| 100 % | harmony 100 % |" in page
    assert "a &lt;b\\>" in page
    assert "this program cannot say tools" in page
    assert "Nothing else differs." in page
    assert "| b | a 1.0 | could not be asked |" in page
    assert "Not judged: it never answered" in page
    assert "Incomplete" not in page
    assert "Incomplete" in page_markdown(replace(found, complete=False))
    assert json.loads(page_json(found))["schema"] == "conformance-renderers/1"
