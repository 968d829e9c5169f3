"""The seeded driver: same cases everywhere, all of them valid, everything within reach."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter

import pytest

from conformance.conversation import Case, Instructions, User, case_from_json, check_case, to_json
from conformance.errors import UnjudgedError
from conformance.generate import Grammar, Hints, RandomDraw, case_at
from conformance.generate.scene import STYLES

# The first 200 cases of seed 0. When you change the grammar on purpose, run this test, take the value it
# shows, and say so in the changelog: case numbers in old reports then mean other cases.
GOLDEN = "7d612af909d10378"

MANY = 4000


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [case_at(0, index) for index in range(MANY)]


def test_the_first_cases_stay_as_they_are(cases: list[Case]) -> None:
    assert hashlib.sha256(b"\n".join(map(to_json, cases[:200]))).hexdigest()[:16] == GOLDEN


def test_any_process_makes_any_case_again(cases: list[Case]) -> None:
    code = (
        "import sys; from conformance.generate import case_at; from conformance.conversation import to_json\n"
        "assert 'hypothesis' not in sys.modules\n"
        "sys.stdout.buffer.write(b'\\n'.join(to_json(case_at(0, i)) for i in (1999, 7, 300)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert out == b"\n".join(to_json(cases[index]) for index in (1999, 7, 300))


def test_seeds_and_indices_give_different_cases() -> None:
    seen = {to_json(case_at(seed, index)) for seed in (0, 1, -1, 2**70) for index in range(50)}
    assert len(seen) > 190  # the plainest of them may coincide
    with pytest.raises(ValueError, match="index"):
        case_at(0, -1)


def test_every_case_is_valid_and_survives_json(cases: list[Case]) -> None:
    for case in cases:
        check_case(case)
        assert case.conversation.messages
        names = [tool.name for tool in case.conversation.tools]
        assert len(set(names)) == len(names)
        data = to_json(case)
        again = case_from_json(data)
        assert again == case
        assert to_json(again) == data  # also key order, and -0.0, which equals 0


def test_harmony_refuses_none_of_them(cases: list[Case]) -> None:
    harmony = pytest.importorskip("conformance.oracles.harmony")
    try:
        oracle = harmony.HarmonyOracle()
        for case in cases[:400]:
            oracle.render(case)
    except UnjudgedError as error:
        pytest.skip(str(error))


def test_cases_are_small_and_many_are_plain(cases: list[Case]) -> None:
    sizes = sorted(len(to_json(case)) for case in cases)
    assert 600 < sum(sizes) / MANY < 2500
    assert sizes[MANY // 2] < 1000
    assert sum(size > 10_000 for size in sizes) > MANY / 300
    assert 0.2 < sum(not case.conversation.tools for case in cases) / MANY < 0.5
    lengths = Counter(len(case.conversation.messages) >= 12 for case in cases)
    assert lengths[True] > MANY / 20


def test_containers_are_never_shared_between_cases(cases: list[Case]) -> None:
    owners: dict[int, int] = {}

    def walk(value: object, owner: int) -> None:
        if isinstance(value, dict | list):
            assert owners.setdefault(id(value), owner) == owner
            for item in value.values() if isinstance(value, dict) else value:
                walk(item, owner)

    for number, case in enumerate(cases):
        for tool in case.conversation.tools:
            walk(tool.parameters, number)
        for call in case.conversation.calls():
            walk(call.arguments, number)


def test_hints_turn_up_everywhere() -> None:
    words = tuple(f"word{number}" for number in range(40))
    hints = Hints(words=words, keys=("strict", "x-order"))
    texts, names, rest, systems = set(), set(), Counter[str](), set()
    for index in range(2000):
        case = case_at(0, index, hints)
        for message in case.conversation.messages:
            if isinstance(message, User):
                texts.add(message.text)
            elif isinstance(message, Instructions):
                systems.update(message.text.split())
        for tool in case.conversation.tools:
            names.add(tool.name)
            parameters = tool.parameters or {}
            for name, schema in parameters.get("properties", {}).items():
                rest["property"] += name in words
                rest["default"] += schema.get("default") in words
                rest["enum"] += any(value in words for value in schema.get("enum", ()))
                rest["key"] += "strict" in schema or "x-order" in schema
    assert set(words) <= texts  # as the whole text, for templates that compare
    assert set(words) <= set(" ".join(texts).split())
    assert len(systems & set(words)) > 30
    assert len(names & set(words)) > 10
    assert all(rest[place] > 5 for place in ("property", "default", "enum", "key")), rest


def test_hints_that_no_case_can_use_are_left_out() -> None:
    hints = Hints(words=("", "a", "a", "\ud800", "x" * 300, "<|end|>"), keys=("type", "strict", ""))
    assert hints == Hints(words=("a", "<|end|>"), keys=("strict",))
    assert hints.words == ("a", "<|end|>")
    for index in range(500):
        check_case(case_at(3, index, hints))


def test_a_wished_length_is_reached() -> None:
    lengths = [len(case_at(0, i, Hints(messages=40)).conversation.messages) for i in range(300)]
    assert sum(length >= 40 for length in lengths) >= 5


def test_parts_can_be_made_alone() -> None:
    grammar = Grammar()
    for index in range(200):
        assert grammar.tool(RandomDraw(0, index)).name
        assert isinstance(grammar.schema(RandomDraw(0, index)), dict)
        assert grammar.conversation(RandomDraw(0, index)).messages


def test_the_simplest_style_comes_first() -> None:
    assert STYLES.values[0].tools == (0, 0)
