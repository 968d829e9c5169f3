"""Probes: unique words, deterministic, and what a client would really send."""

from __future__ import annotations

import msgspec
import pytest

from conformance.checks.base import checks, register
from conformance.checks.family import generated, hand_built, in_manners, probes
from conformance.checks.manners import MANNERS
from conformance.checks.words import places, words
from conformance.compare.base import parting
from conformance.conversation import check_case


def test_every_word_of_a_probe_is_sent_once() -> None:
    for probe in probes(3, 40):
        if probe.manner is not None and probe.how in ("empty-arguments", "no-description", "no-parameters"):
            continue
        request = probe.request(generation=True)
        messages = msgspec.json.encode(request.messages).decode()
        for word in words(probe.case.conversation):
            if word.message is not None:
                assert len(places(messages, word.text)) == 1, (probe.name, word)


def test_probes_are_valid_cases_with_names_of_their_own() -> None:
    every = probes(0, 60)
    assert len({probe.name for probe in every}) == len(every)
    for probe in every:
        check_case(probe.case, probe.name)


def test_the_same_seed_gives_the_same_probes() -> None:
    assert list(generated(7, 30)) == list(generated(7, 30))
    assert list(generated(7, 30)) != list(generated(8, 30))


def test_so_many_are_generated_as_were_asked_for() -> None:
    assert len(list(generated(0, 100))) == 100
    assert list(generated(0, 0)) == []


def test_every_manner_changes_what_it_is_tried_on() -> None:
    plain = {probe.name: probe for probe in hand_built()}
    for probe in in_manners():
        twin = plain[probe.plain.name]
        assert probe.case == twin.case
        assert probe.request(generation=True) != twin.request(generation=True), probe.name


def test_every_manner_has_a_name_of_its_own() -> None:
    names = [manner.name for manner, _ in MANNERS]
    assert len(set(names)) == len(names)


def test_a_name_is_taken_once() -> None:
    known = checks()
    assert {"accepts", "texts", "prefix", "python-repr", "dates", "assistant-mask"} <= set(known)
    with pytest.raises(ValueError, match="texts"):
        register("texts")(lambda bench, probe: iter(()))


@pytest.mark.parametrize(
    ("one", "other"), [("", ""), ("a", ""), ("abc", "abd"), ("abc", "abcd"), ("x", "y"), ("aXb", "aYb")]
)
def test_texts_part_where_their_first_characters_differ(one: str, other: str) -> None:
    shared = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    assert parting(one, other) == shared
