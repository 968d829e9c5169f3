"""`conformance requests`: logged requests as they were sent, and whose words are written where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Run

from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, EXIT_UNJUDGED, EXIT_USAGE
from conformance.report.json_file import read

SECRET = "Henrietta"
# Written as public templates write it: an empty list of calls and parts break it.
FRAGILE = (
    "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\n"
    "Current date: {{ strftime_now('%Y-%m-%d') }}\n\nReasoning: medium\n\n"
    "# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>"
    "{%- for m in messages %}{%- if m.role == 'assistant' %}<|start|>assistant<|channel|>final<|message|>"
    "{{ m.content }}{%- if 'tool_calls' in m %}{{ m.tool_calls[0].function.name }}{% endif %}<|end|>"
    "{%- else %}<|start|>{{ m.role }}<|message|>{{ m.content + '' }}<|end|>{% endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}<|start|>assistant{% endif %}"
)


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


GOOD = {"messages": [user(f"Hi {SECRET}")]}
EMPTY_CALLS = {
    "messages": [
        user("a"),
        {"role": "assistant", "content": SECRET, "tool_calls": []},
        user(f"I am {SECRET}"),
    ]
}
PARTS = {"messages": [user([{"type": "text", "text": SECRET}])]}


@pytest.fixture
def log(place: Path) -> Path:
    """Seven good requests, two of one fault, one of another."""
    (place / "fragile.jinja").write_text(FRAGILE)
    return write(place, *[GOOD] * 7, EMPTY_CALLS, EMPTY_CALLS, PARTS)


def write(place: Path, *bodies: Any) -> Path:
    path = place / "log.jsonl"
    path.write_text("".join((b if isinstance(b, str) else json.dumps(b)) + "\n" for b in bodies))
    return path


def test_shares_rules_and_the_smallest_of_each(run: Run, log: Path) -> None:
    result = run("requests", log.name, "fragile.jinja", "--output", "out")
    assert result.code == EXIT_DIVERGES
    assert "7 of 10 logged requests are identical (70 %)" in " ".join(result.out.split())
    assert "10 requests of 10 lines judged" in result.out
    report = read(Path("out"))
    (target,) = report.targets
    assert target.shapes == ["as-sent"]
    assert (target.cases.total, target.cases.equal, target.cases.crashed) == (10, 7, 3)
    shown = {round(found.share, 2): found.example for found in target.divergences}
    assert shown[0.2].handed == {"messages": [{"role": "assistant", "tool_calls": []}]}
    assert shown[0.2].line == 8
    assert shown[0.1].line == 10
    smallest = [json.loads(line) for line in Path("out/report.requests.jsonl").read_text().splitlines()]
    assert shown[0.2].handed in smallest
    # What was found is found again in the smallest requests alone, and by replay.
    assert run("requests", "out/report.requests.jsonl", "fragile.jinja").code == EXIT_DIVERGES
    again = run("replay", shown[0.2].case_id, "--run", "out")
    assert again.code == EXIT_DIVERGES
    assert "tool_calls" in again.out or "no element 0" in again.out
    assert run("requests", log.name, "right.jinja").code == EXIT_CONFORMS


def test_words_stay_in_the_folder_of_the_run(run: Run, log: Path) -> None:
    result = run("requests", log.name, "fragile.jinja", "--output", "out")
    assert SECRET not in result.out + result.err
    assert "own words are in out and nowhere else" in result.out
    refused = run("requests", log.name, "fragile.jinja", "--format", "json")
    assert refused.code == EXIT_USAGE
    assert "--anonymise" in refused.err


def test_anonymised_examples_show_the_same_rules_in_other_words(run: Run, place: Path) -> None:
    # Nothing can be made smaller: the whole text is what differs.
    (place / "upper.jinja").write_text(FRAGILE.replace("m.content + ''", "m.content | upper"))
    log = write(place, {"messages": [user(f"{SECRET} Smithson")]}, EMPTY_CALLS, GOOD)
    plain = run("requests", log.name, "upper.jinja", "--output", "plain")
    result = run("requests", log.name, "upper.jinja", "--output", "out", "--anonymise", "--format", "json")
    assert result.code == plain.code == EXIT_DIVERGES
    rules = [
        {found.key for found in read(Path(folder)).targets[0].divergences} for folder in ("plain", "out")
    ]
    assert rules[0] == rules[1]
    written = b"".join(path.read_bytes() for path in Path("out").iterdir())
    assert SECRET.lower() not in (written.decode() + result.out + result.err).lower()
    assert read(Path("out")).logged is not None
    assert all(found.example.handed for found in read(Path("out")).targets[0].divergences)


def test_what_needs_its_own_words_is_withheld(run: Run, place: Path) -> None:
    (place / "picky.jinja").write_text(
        FRAGILE.replace(
            "{%- for m", "{{ raise_exception('no') if 'Henrietta' in messages[0].content }}{%- for m", 1
        )
    )
    log = write(place, GOOD, {"messages": [user("x")]})
    assert run("requests", log.name, "picky.jinja", "--output", "plain").code == EXIT_DIVERGES
    assert SECRET in Path("plain/report.requests.jsonl").read_text()
    result = run("requests", log.name, "picky.jinja", "--output", "out", "--anonymise")
    assert result.code == EXIT_DIVERGES
    assert "see line 1 of the log" in " ".join(result.out.split())
    written = b"".join(path.read_bytes() for path in Path("out").iterdir()).decode()
    assert SECRET not in written + result.out + result.err


def test_bad_lines_are_named_and_the_rest_is_judged(run: Run, place: Path) -> None:
    log = write(
        place, GOOD, "nonsense", {"messages": []}, {**GOOD, "response_format": {"type": "json_object"}}
    )
    result = run("requests", log.name, "right.jinja")
    assert result.code == EXIT_USAGE
    assert "log.jsonl, line 2: is no JSON" in result.err
    assert "log.jsonl, line 3: has no messages" in result.err
    assert "2 requests of 4 lines judged; 2 unreadable" in result.out
    assert "not looked at: response_format (1)" in result.out
    assert run("requests", write(place, "x").name, "right.jinja").code == EXIT_USAGE
    image = {"messages": [user([{"type": "image_url", "image_url": {"url": "data:"}}])]}
    unsaid = run("requests", write(place, image).name, "right.jinja")
    assert unsaid.code == EXIT_UNJUDGED
    assert "line 1" in unsaid.err
    told_apart = run("requests", write(place, image, GOOD).name, "right.jinja")
    assert told_apart.code == EXIT_CONFORMS
    assert "1 that gpt-oss cannot be told" in told_apart.out


def test_prompts_end_as_requests_say(run: Run, place: Path) -> None:
    said = [user("Weather?"), {"role": "assistant", "content": "It is"}]
    log = write(
        place,
        {"messages": said},
        {"messages": said, "add_generation_prompt": False},
        {"messages": said, "continue_final_message": True},
    )
    assert run("requests", log.name, "right.jinja").code == EXIT_CONFORMS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.jsonl", "right.jinja"], "Cannot read the log"),
        (["log.jsonl"], "Name a target"),
        (["log.jsonl", "right.jinja", "--examples", "0"], "--examples is 0"),
    ],
)
def test_wrong_usage(run: Run, log: Path, arguments: list[str], words: str) -> None:
    result = run("requests", *arguments)
    assert result.code == EXIT_USAGE
    assert words in result.err
