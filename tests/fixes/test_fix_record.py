"""The published record of repairs: what it claims, and that it is made the same way every time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from fix_helpers import NO_HARMONY, REFERENCE, WRONG, edited

from conformance.fixes.base import fixes
from conformance.resources import resource
from conformance.sources import Provenance, Template, catalogue
from tools import fixes_record as record

REPORTS = resource("reports")


def template(name: str, text: str) -> Template:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Template(name, text, digest, Provenance("file", f"{name}.jinja"))


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    path = REPORTS / "fixes.json"
    if not path.is_file():
        pytest.skip("reports/ is not in an installed package")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def test_the_two_files_say_the_same(published: dict[str, Any]) -> None:
    assert record.markdown(published) == (REPORTS / "fixes.md").read_text("utf-8")


def test_every_harmony_template_of_the_catalogue_is_recorded(published: dict[str, Any]) -> None:
    wanted = {entry.sha256 for entry in catalogue.entries() if entry.harmony}
    assert {entry["sha256"] for entry in published["templates"]} == wanted
    assert list(published["fixes"]) == [fix.name for fix in fixes()]


def test_nine_of_ten_rules_are_gone_and_those_first_reported_all(published: dict[str, Any]) -> None:
    for entry in published["templates"]:
        assert len(entry["rules_before"]) >= 20, entry["name"]
        assert len(entry["rules_after"]) <= 0.1 * len(entry["rules_before"]), entry["name"]
        for slugs in record.FIRST_REPORTED.values():
            assert not set(slugs) & set(entry["rules_after"]), entry["name"]
        chosen, proven = (run["seed"] for run in entry["runs"])
        assert chosen == published["run"]["seed"] != proven


@pytest.mark.long
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    final = "{{- '<|start|>assistant<|channel|>final<|message|>' ~ content ~"
    chosen = [
        template("broken", edited(REFERENCE, final, final.replace("<|channel|>final", ""))),
        template("other", NO_HARMONY),
        template("right", REFERENCE),
    ]
    for folder in ("one", "two"):
        record.write(record.record(chosen, seed=5, cases=30), tmp_path / folder)
    one, two = (
        (tmp_path / folder / name).read_bytes() for folder in ("one", "two") for name in ("fixes.json",)
    )
    assert one == two
    made = json.loads(one)
    broken, other, right = made["templates"]
    assert broken["rules_before"] == ["final-channel-missing"]
    assert broken["rules_after"] == []
    assert [name.startswith("line-") for name in broken["applied"]] == [True]
    assert broken["runs"][0]["before"]["rules"]["final-channel-missing"] > 0
    assert broken["runs"][0]["after"]["rules"] == {}
    assert broken["runs"][0]["after"]["right_under"]["harmony"] == 1
    # What is not Harmony is not repaired, and what is right has nothing to repair.
    assert (other["applied"], right["applied"], right["rules_before"]) == ([], [], [])
    assert other["rules_after"]


@pytest.mark.long
def test_what_is_left_is_told() -> None:
    """Where the section cannot be replaced the small fixes still do their part; the rest has a reason."""
    text = edited(WRONG, "{%- for message in rest -%}", "{%- for message in rest if message -%}")
    made = record.record([template("half | way", text)], cases=30)
    (entry,) = made["templates"]
    small = {
        "plain-results",
        "plain-arguments",
        "final-channel",
        "thinking-channel",
        "preamble-channel",
        "content-type",
    }
    assert small <= set(entry["applied"])
    assert "result-author" in entry["rules_after"]
    assert {refused["fix"] for refused in entry["not_applied"]} == {
        "assistant-and-results",
        "later-instructions",
    }
    told = record.markdown(made)
    assert "Not repaired:" in told
    assert "half \\| way" in told
    assert "has a form that is not known" in told
