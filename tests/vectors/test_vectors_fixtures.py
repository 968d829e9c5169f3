"""The shipped vectors: as the tool writes them, right, complete, and readable for others."""

from __future__ import annotations

import json
from collections import Counter

import jsonschema
import pytest

from conformance.campaign.judge import Judge
from conformance.cli.vectors import run_export
from conformance.conversation import case_id
from conformance.engines.in_process import InProcessHost
from conformance.importers import case_from_request
from conformance.oracles.profile import Profile, profile
from conformance.rules.behaviour import RESOURCE_LIMIT, TEMPLATE_CRASHED, TEMPLATE_REJECTED
from conformance.shapes import shapes
from conformance.vectors import reported_cases, vector_schema
from conformance.vectors.derive import FLAGS, oracle_for
from conformance.vectors.files import Family, default_folder
from tools import mutants

# A renderer that fails has no text.
NOT_IN_A_TEXT = {rule.slug for rule in (TEMPLATE_CRASHED, TEMPLATE_REJECTED, RESOURCE_LIMIT)}
SETTINGS = {
    "content_type": {"json", "constrain", "constrain-spaced"},
    "thinking_inference": {"harmony", "documented", "keep-all"},
    "thinking_training": {"harmony", "documented", "keep-all"},
    "preamble_channel": {"commentary", "analysis"},
    "arguments_json": {"python", "compact"},
}


def vectors(shipped: tuple[Family, ...]) -> list:
    return [vector for family in shipped for vector in family.vectors]


def test_the_files_are_as_the_tool_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    code = run_export(default_folder(), None, check=True, console=Console())
    assert code == 0, capsys.readouterr().out


def test_there_are_enough_and_most_are_written_by_hand(shipped: tuple[Family, ...]) -> None:
    origins = Counter(vector.origin for vector in vectors(shipped))
    assert sum(origins.values()) >= 200
    assert origins["written"] >= 60


def test_every_planted_fault_of_a_text_shows_in_some_vector(shipped: tuple[Family, ...]) -> None:
    """The faults are those of fixtures/mutants; a rule that no vector can show would go unnoticed by a renderer."""
    judge, host = Judge(profile("harmony")), InProcessHost("transformers")
    cases = [vector.case for vector in vectors(shipped) if vector.profile.name == "harmony"]
    given = [(case, next(shape for (shape, *_) in shapes() if not shape.loses(case))) for case in cases]
    answers = [judge.answer(case) for case in cases]
    requests = [shape.request(case) for case, shape in given]
    faults = [fault for fault in mutants.load() if fault.engine is None and fault.rule not in NOT_IN_A_TEXT]
    missing = {fault.rule for fault in faults}
    for fault in faults:
        if fault.rule not in missing:
            continue
        template = mutants.as_template(fault, mutants.reference_text())
        outcomes = host.collect(host.submit(template.text, requests))
        judged = (judge.judge(a, o, confirm=False) for a, o in zip(answers, outcomes, strict=True) if a)
        if sum(any(found.rule == fault.rule for found in each.found) for each in judged) >= 2:
            missing.discard(fault.rule)
    assert missing == set()


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_decides_a_vector(shipped: tuple[Family, ...], setting: str) -> None:
    """For each value there is a vector whose text would be another under one of the other values."""
    decided = set()
    for vector in vectors(shipped):
        own = vector.profile.profile()
        value = getattr(own, setting)
        for other in SETTINGS[setting] - {value}:
            changed: Profile = own.with_setting(**{setting: other})
            if oracle_for(changed).layout(vector.case) != vector.text:
                decided.add(value)
    assert decided == SETTINGS[setting]


def test_reasons_are_sentences_and_flags_are_known(shipped: tuple[Family, ...]) -> None:
    for vector in vectors(shipped):
        assert vector.why[-1] == "."
        assert vector.why[0].isupper() or not vector.why[0].isalpha() or vector.origin == "written"
        assert set(vector.flags) <= set(FLAGS)
    written = [vector.why for vector in vectors(shipped) if vector.origin == "written"]
    assert len(set(written)) == len(written)


def test_lines_obey_the_published_schema_and_are_ascii() -> None:
    folder = default_folder()
    published = json.loads((folder / "vector.schema.json").read_bytes())
    assert published == json.loads(json.dumps(vector_schema()))
    jsonschema.Draft202012Validator.check_schema(published)
    validator = jsonschema.Draft202012Validator(published)
    for path in folder.glob("*.jsonl"):
        for line in path.read_bytes().decode("ascii").splitlines():
            assert line.isprintable()
            validator.validate(json.loads(line))


def test_the_shape_of_a_server_is_the_same_conversation(shipped: tuple[Family, ...]) -> None:
    seen = 0
    for vector in vectors(shipped):
        if vector.shapes is None or "openai" not in vector.shapes:
            continue
        case = case_from_request(vector.shapes["openai"])
        options = vector.options
        # A request has neither date nor mode; and 1.0 in arguments is text there.
        case = type(case)(conversation=case.conversation, options=options)
        assert oracle_for(vector.profile.profile()).render(case).text == vector.text
        seen += 1
    assert seen > 150


def test_only_what_was_reported_is_replayed(shipped: tuple[Family, ...]) -> None:
    wanted = {case_id(vector.case) for vector in vectors(shipped) if vector.origin == "reported"}
    assert {case_id(case) for case in reported_cases()} == wanted


def test_tokens_only_vectors_are_there(shipped: tuple[Family, ...]) -> None:
    flagged = [vector for vector in vectors(shipped) if "tokens-only" in vector.flags]
    assert len(flagged) >= 8
