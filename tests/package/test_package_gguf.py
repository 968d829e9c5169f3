"""GGUF files: the good one passes in silence, each fault is told by its rule, and reading stays bounded."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import gguf
import pytest
from package_files import (
    REFERENCE,
    VOCABULARY,
    findings,
    good_values,
    integers,
    string,
    strings,
    told,
    write_folder,
    write_gguf,
)

from conformance.package_checks.facts import SPECIAL_TOKENS
from conformance.package_checks.gguf import read_gguf_package

Value = tuple[int, bytes]


@pytest.fixture(scope="module")
def good() -> dict[str, Value]:
    return good_values()


def number(value: int) -> Value:
    return 4, struct.pack("<I", value)


TRUE: Value = (7, b"\x01")


def test_a_good_file_passes_in_silence(tmp_path: Path, good: dict[str, Value]) -> None:
    assert findings(write_gguf(tmp_path / "m.gguf", good)) == []
    ollama = {key.replace("gpt-oss", "gptoss"): value for key, value in good.items()}
    ollama |= {
        "general.architecture": (8, string(b"gptoss")),
        "tokenizer.ggml.eos_token_id": number(199_999),
        "tokenizer.ggml.eos_token_ids": (9, integers([199_999, 200_002, 200_012])),
        "tokenizer.ggml.add_bos_token": (7, b"\x00"),
    }
    assert findings(write_gguf(tmp_path / "ollama.gguf", ollama)) == []


def tokens(changes: Mapping[int, bytes], count: int = VOCABULARY) -> Value:
    items = [b"t"] * count
    for text, place in SPECIAL_TOKENS.items():
        items[place if place < count else 0] = text.encode()
    for place, text in changes.items():
        items[place] = text
    return 9, strings(items)


def types(special: int, count: int = VOCABULARY) -> Value:
    items = [1] * count
    for place in SPECIAL_TOKENS.values():
        items[place] = special
    return 9, integers(items)


FAULTS = {
    "moved": (
        lambda: {"tokenizer.ggml.tokens": tokens({200_006: b"<|extra|>"})},
        "special-token-ids", "tokenizer.ggml.tokens in m.gguf", "<|extra|> 200006; o200k_harmony has <|start|> 200006"),
    "swapped": (
        lambda: {"tokenizer.ggml.tokens": tokens({200_006: b"<|end|>", 200_007: b"<|start|>"})},
        "special-token-ids", "tokenizer.ggml.tokens in m.gguf", "<|start|> 200007, <|end|> 200006"),
    "short": (
        lambda: {"tokenizer.ggml.tokens": (9, strings([b"t"] * 1_000))},
        "special-token-ids", "tokenizer.ggml.tokens in m.gguf", "<|return|> not there, <|constrain|> not there"),
    "ordinary": (
        lambda: {"tokenizer.ggml.token_type": types(1)},
        "special-token-type", "tokenizer.ggml.tokens in m.gguf", "stored as ordinary text: <|return|>, <|constrain|>"),
    "untyped": (
        lambda: {"tokenizer.ggml.token_type": None},
        "special-token-type", "tokenizer.ggml.tokens in m.gguf", "stored as ordinary text"),
    "runs on": (
        lambda: {"tokenizer.ggml.eos_token_id": number(199_999)},
        "stop-tokens", "tokenizer.ggml in m.gguf", "does not stop at <|return|> (200002)"),
    "stops early": (
        lambda: {"tokenizer.ggml.eot_token_id": number(200_007)},
        "stop-tokens", "tokenizer.ggml in m.gguf", "stops at <|end|> (200007)"),
    "bos": (
        lambda: {"tokenizer.ggml.add_bos_token": TRUE},
        "bos-added", "tokenizer.ggml in m.gguf", "add_bos_token is true"),
    "context": (
        lambda: {"gpt-oss.context_length": number(8_192)},
        "context-length", "gpt-oss.context_length in m.gguf", "8,192 tokens"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_alone(tmp_path: Path, good: dict[str, Value], name: str) -> None:
    changes, rule, where, says = FAULTS[name]
    path = write_gguf(tmp_path / "m.gguf", {**good, **changes()})
    (finding,) = findings(path)
    assert (finding.rule, finding.where, finding.checked) == (rule, where, True)
    assert says in finding.message


def test_user_defined_tokens_are_matched_as_a_whole_too(tmp_path: Path, good: dict[str, Value]) -> None:
    path = write_gguf(tmp_path / "m.gguf", {**good, "tokenizer.ggml.token_type": types(4)})
    assert findings(path) == []


def test_what_is_missing_is_said(tmp_path: Path, good: dict[str, Value]) -> None:
    bare = {key: good[key] for key in ("general.architecture", "tokenizer.chat_template")}
    found = findings(write_gguf(tmp_path / "m.gguf", bare))
    assert {finding.rule for finding in found} == {"context-length", "special-token-ids", "stop-tokens"}
    assert all(not finding.checked and finding.severity == "note" for finding in found)
    assert all(finding.message.startswith("not checked: m.gguf has no ") for finding in found)


def test_other_models_are_left_alone(tmp_path: Path, good: dict[str, Value]) -> None:
    other = {
        "general.architecture": (8, string(b"llama")),
        "llama.context_length": number(8_192),
        "tokenizer.ggml.tokens": (9, strings([b"<s>", b"</s>"])),
        "tokenizer.ggml.add_bos_token": TRUE,
        "tokenizer.ggml.eos_token_id": number(1),
        "tokenizer.chat_template": good["tokenizer.chat_template"],
    }
    assert findings(write_gguf(tmp_path / "m.gguf", other)) == []


DRIFTED = (8, string(REFERENCE.replace("Knowledge", "knowledge").encode()))


def test_the_template_of_the_folder_around_a_file(tmp_path: Path, good: dict[str, Value]) -> None:
    folder = write_folder(tmp_path / "model")
    assert findings(write_gguf(folder / "m.gguf", good)) == []
    path = write_gguf(folder / "m.gguf", {**good, "tokenizer.chat_template": DRIFTED})
    assert told(path) == [("template-drift", "chat_template.jinja")]
    assert told(folder) == [("template-drift", "tokenizer.chat_template in m.gguf")]
    write_folder(folder, {"config.json": {"model_type": "llama"}, "tokenizer.json": None})
    assert told(path) == []


def test_a_folder_with_a_broken_file_beside_it(tmp_path: Path, good: dict[str, Value]) -> None:
    folder = write_folder(tmp_path / "model")
    (folder / "m.gguf").write_bytes(write_gguf(folder / "m.gguf", good).read_bytes()[:100_000])
    (finding,) = findings(folder)
    assert (finding.rule, finding.where) == ("package-unreadable", "m.gguf")
    assert "is cut off" in finding.message


def test_later_shards_are_not_asked(tmp_path: Path, good: dict[str, Value]) -> None:
    folder = write_folder(tmp_path / "model")
    write_gguf(folder / "m-00001-of-00002.gguf", good)
    (folder / "m-00002-of-00002.gguf").write_bytes(b"GGUF, but of the rest this is not")
    assert findings(folder) == []


@pytest.mark.parametrize("big", [False, True])
def test_files_that_gguf_py_writes(tmp_path: Path, big: bool) -> None:
    """Keys, types and byte orders as the library of llama.cpp writes them."""
    order = gguf.GGUFEndian.BIG if big else gguf.GGUFEndian.LITTLE
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "gpt-oss", endianess=order)
    writer.add_context_length(131_072)
    vocabulary = [f"t{place}" for place in range(max(SPECIAL_TOKENS.values()) + 1)]
    kinds = [gguf.TokenType.NORMAL] * len(vocabulary)
    for text, place in SPECIAL_TOKENS.items():
        vocabulary[place], kinds[place] = text, gguf.TokenType.CONTROL
    writer.add_token_list(vocabulary)
    writer.add_token_types(kinds)
    writer.add_eos_token_id(200_002)
    writer.add_add_bos_token(True)
    writer.add_chat_template(REFERENCE)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert told(path) == [("bos-added", "tokenizer.ggml in m.gguf")]


HOSTILE = {
    "token of a gigabyte": (9, struct.pack("<IQ", 8, 250_000) + string(b"t") * 200_002 + struct.pack("<Q", 2**30)),
    "tokens without end": (9, struct.pack("<IQ", 8, 2**60)),
    "tokens of unknown type": (9, struct.pack("<IQ", 77, 250_000)),
    "tokens nested": (9, struct.pack("<IQ", 9, 250_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_get_one_sentence(tmp_path: Path, good: dict[str, Value], name: str) -> None:
    values = {**good, "tokenizer.ggml.tokens": HOSTILE[name]}
    # The template last: a reader that comes so far has read all the rest.
    path = write_gguf(tmp_path / "m.gguf", values)
    package = read_gguf_package(path, "m.gguf")
    ((where, problem),) = package.unreadable
    assert where == "m.gguf"
    assert "\n" not in problem
    assert len(problem) < 300


def test_numbers_of_the_wrong_type_say_nothing(tmp_path: Path, good: dict[str, Value]) -> None:
    """Texts where numbers belong, numbers where texts belong: no crash, and no pass."""
    odd = {
        "gpt-oss.context_length": (8, string(b"131072")),
        "tokenizer.ggml.eos_token_id": (9, integers([200_002])),
        "tokenizer.ggml.tokens": (9, integers([1] * VOCABULARY)),
        "tokenizer.ggml.token_type": (9, strings([b"3"] * VOCABULARY)),
    }
    found = findings(write_gguf(tmp_path / "m.gguf", {**good, **odd}))
    assert {(finding.rule, finding.checked) for finding in found} == {
        ("context-length", False),
        ("stop-tokens", False),
        ("special-token-ids", True),
    }


def test_the_vocabulary_is_not_kept(tmp_path: Path, good: dict[str, Value]) -> None:
    path = write_gguf(tmp_path / "m.gguf", good)
    tracemalloc.start()
    read_gguf_package(path, "m.gguf")
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()
