"""Model folders: the good one passes in silence, each fault is told by its rule, and what is missing is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from package_files import REFERENCE, added, changed, decoder, findings, good_files, told, write_folder

from conformance.oracles.harmony import HarmonyOracle
from conformance.package_checks.facts import SPECIAL_TOKENS

MOVED = {**SPECIAL_TOKENS, "<|start|>": 200_013, "<|message|>": 200_014}
FEWER = {text: number for text, number in SPECIAL_TOKENS.items() if text != "<|constrain|>"}


def test_the_ids_are_those_of_harmony() -> None:
    oracle = HarmonyOracle()
    assert {text: oracle.encode(text) for text in SPECIAL_TOKENS} == {
        text: [number] for text, number in SPECIAL_TOKENS.items()
    }


def test_a_good_package_passes_in_silence(tmp_path: Path) -> None:
    assert findings(write_folder(tmp_path / "good")) == []


FAULTS: list[tuple[dict[str, Any], str, str, str]] = [
    (changed("tokenizer.json", added_tokens=added(MOVED)),
     "special-token-ids", "tokenizer.json, added_tokens",
     "<|start|> 200013, <|message|> 200014; o200k_harmony has <|start|> 200006, <|message|> 200008"),
    (changed("tokenizer.json", added_tokens=added(FEWER)),
     "special-token-ids", "tokenizer.json, added_tokens", "<|constrain|> not there"),
    (changed("tokenizer_config.json", added_tokens_decoder=decoder(MOVED)),
     "special-token-ids", "tokenizer_config.json, added_tokens_decoder", "<|start|> 200013"),
    ({"tokenizer.json": None, **changed("tokenizer_config.json", added_tokens_decoder=decoder(FEWER))},
     "special-token-ids", "tokenizer_config.json, added_tokens_decoder", "<|constrain|> not there"),
    (changed("tokenizer.json", added_tokens=added(FEWER), model={"vocab": {"<|constrain|>": 200_003}}),
     "special-token-type", "tokenizer.json, added_tokens", "ordinary text: <|constrain|>"),
    (changed("generation_config.json", eos_token_id=200_002),
     "stop-tokens", "generation_config.json", "does not stop at <|call|> (200012)"),
    (changed("generation_config.json", eos_token_id=[199_999, 200_012]),
     "stop-tokens", "generation_config.json", "does not stop at <|return|> (200002)"),
    (changed("generation_config.json", eos_token_id=[]),
     "stop-tokens", "generation_config.json", "at <|return|> (200002) and does not stop at <|call|>"),
    (changed("generation_config.json", eos_token_id=[200_002, 200_012, 200_007]),
     "stop-tokens", "generation_config.json", "stops at <|end|> (200007)"),
    (changed("tokenizer_config.json", add_bos_token=True),
     "bos-added", "tokenizer_config.json", "add_bos_token is true"),
    (changed("tokenizer.json", post_processor={"type": "TemplateProcessing", "single": [
        {"SpecialToken": {"id": "<|startoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}),
     "bos-added", "tokenizer.json, post_processor", "adds <|startoftext|>"),
    (changed("tokenizer.json", post_processor={"type": "Sequence", "processors": [
        {"type": "ByteLevel"}, {"type": "RobertaProcessing", "sep": ["a", 1], "cls": ["b", 2]}]}),
     "bos-added", "tokenizer.json, post_processor", "RobertaProcessing puts tokens around"),
    ({"generation_config.json": None},
     "stop-tokens", "config.json, without generation_config.json", "does not stop at <|call|> (200012)"),
    (changed("tokenizer_config.json", eos_token="<|endoftext|>"),
     "eos-token", "tokenizer_config.json", "eos_token is <|endoftext|>"),
    (changed("tokenizer_config.json", eos_token={"content": "<|end|>"}),
     "eos-token", "tokenizer_config.json", "eos_token is <|end|>"),
    (changed("tokenizer_config.json", pad_token="<|return|>"),
     "pad-token", "tokenizer_config.json", "the padding is <|return|>"),
    (changed("generation_config.json", pad_token_id=200_012),
     "pad-token", "generation_config.json, pad_token_id", "the padding is <|call|>"),
    (changed("generation_config.json", temperature=0.7),
     "sampling", "generation_config.json", "temperature is 0.7"),
    (changed("generation_config.json", top_k=50, top_p=1.0),
     "sampling", "generation_config.json", "top_k is 50"),
    (changed("tokenizer_config.json", added_tokens_decoder={
        **decoder(), "200008": {"content": "<|message|>", "special": True, "rstrip": True}}),
     "added-token-flags", "tokenizer_config.json, added_tokens_decoder", "<|message|> is rstrip"),
    (changed("tokenizer.json", added_tokens=[
        {**token, "special": token["content"] != "<|call|>"} for token in added()]),
     "added-token-flags", "tokenizer.json, added_tokens", "<|call|> is not special"),
    (changed("tokenizer_config.json", model_max_length=8_192),
     "context-length", "tokenizer_config.json, model_max_length", "8,192 tokens"),
    (changed("config.json", max_position_embeddings=4_096),
     "context-length", "config.json", "4,096 tokens; gpt-oss has 131,072"),
    ({"config.json": {"model_type": "internvl", "text_config": {
        "model_type": "gpt_oss", "max_position_embeddings": 32_768}}},
     "context-length", "config.json, text_config", "32,768 tokens"),
    (changed("tokenizer_config.json", chat_template=REFERENCE + "{{ 'x' }}"),
     "template-drift", "tokenizer_config.json", "another template than in chat_template.jinja"),
    ({"generation_config.json": b'{"eos_token_id": [200002, 200012'},
     "package-unreadable", "generation_config.json", "is not what transformers writes there"),
    ({"config.json": b"\xff\xfe{"}, "package-unreadable", "config.json", "UTF-16"),
    ({"tokenizer.json": b"[" * 200_000}, "package-unreadable", "tokenizer.json", "not what transformers writes"),
    ({"tokenizer.json": b'{"x": ' + b"[" * 200_000}, "package-unreadable", "tokenizer.json", "nested too deeply"),
    ({"tokenizer.json": b"version https://git-lfs.github.com/spec/v1\noid sha256:1"},
     "package-unreadable", "tokenizer.json", "Git LFS pointer"),
    (changed("tokenizer.json", added_tokens=[{"id": "no", "content": "x"}]),
     "package-unreadable", "tokenizer.json", "$.added_tokens[0].id"),
    (changed("tokenizer_config.json", chat_template=7),
     "package-unreadable", "tokenizer_config.json", "must be a string or a list"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "rule", "where", "says"), FAULTS, ids=[f"{n}-{fault[1]}" for n, fault in enumerate(FAULTS)]
)
def test_a_fault_is_told_alone(
    tmp_path: Path, changes: dict[str, Any], rule: str, where: str, says: str
) -> None:
    folder = write_folder(tmp_path / "m", changes)
    assert told(folder) == [(rule, where)]
    (finding,) = (finding for finding in findings(folder) if finding.checked)
    assert says in finding.message
    assert finding.code.startswith("HT8")
    assert finding.severity == ("warning" if rule in ("context-length", "sampling") else "error")
    if rule not in ("package-unreadable",):
        assert finding.expected
        assert finding.actual


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"generation_config.json": None, **changed("config.json", eos_token_id=None)}, {"stop-tokens"}),
        ({"generation_config.json": {}}, {"stop-tokens"}),
        ({"config.json": None}, {"context-length"}),
        ({"config.json": {"model_type": "gpt_oss"}}, {"context-length"}),
        ({"tokenizer.json": None}, {"bos-added"}),
        ({"tokenizer.json": None, "tokenizer_config.json": {}},
         {"bos-added", "special-token-ids", "response-template-missing"}),
        ({name: None for name in good_files() if name not in ("chat_template.jinja", "config.json")}
         | changed("config.json", eos_token_id=None),
         {"bos-added", "special-token-ids", "stop-tokens", "response-template-missing"}),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(tmp_path: Path, changes: dict[str, Any], said: set[str]) -> None:
    found = findings(write_folder(tmp_path / "m", changes))
    assert {finding.rule for finding in found} == said
    for finding in found:
        assert (finding.severity, finding.checked) == ("note", False)
        assert finding.message.startswith("not checked: ")


def test_a_named_file_that_replaces_the_default_is_compared_with_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    named = folder / "additional_chat_templates"
    named.mkdir()
    (named / "default.jinja").write_text(REFERENCE, encoding="utf-8")
    (named / "tool_use.jinja").write_text("{{ messages }}", encoding="utf-8")
    assert findings(folder) == []
    (folder / "chat_template.jinja").write_text(REFERENCE + "{{ 'x' }}", encoding="utf-8")
    (finding,) = findings(folder)
    assert (finding.rule, finding.where) == ("template-drift", "chat_template.jinja")
    assert "additional_chat_templates/default.jinja" in finding.message


@pytest.mark.parametrize("length", [float("inf"), float("-inf")])
def test_numbers_as_python_writes_them_are_read(tmp_path: Path, length: float) -> None:
    config = json.loads(json.dumps(good_files()["config.json"]))
    config["max_position_embeddings"] = float(config["max_position_embeddings"])
    tokenizer = {**good_files()["tokenizer_config.json"], "model_max_length": length}
    assert (
        findings(write_folder(tmp_path / "m", {"config.json": config, "tokenizer_config.json": tokenizer}))
        == []
    )


LLAMA = {"model_type": "llama", "max_position_embeddings": 8_192}


@pytest.mark.parametrize(
    "changes",
    [
        # Another model; a dialect that uses Harmony's markers in a vocabulary of its own; a bare template.
        {"config.json": LLAMA, "tokenizer.json": {}, "tokenizer_config.json": {"add_bos_token": True}},
        {"config.json": LLAMA, "generation_config.json": b"{", "tokenizer.json": None, "tokenizer_config.json": None},
        {"config.json": {**LLAMA, "model_type": "llm_jp"},
         "tokenizer.json": {"added_tokens": added({text: n for n, text in enumerate(SPECIAL_TOKENS)})},
         "tokenizer_config.json": None},
        {name: None for name in good_files() if name != "chat_template.jinja"},
    ],
)  # fmt: skip
def test_other_packages_are_left_alone(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert findings(write_folder(tmp_path / "m", changes)) == []


def test_the_vocabulary_tells_gpt_oss_where_the_configuration_does_not(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "m", {"config.json": None, **changed("generation_config.json", eos_token_id=1)}
    )
    assert told(folder) == [("stop-tokens", "generation_config.json")]


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    with (folder / "tokenizer.json").open("r+b") as file:
        file.truncate(2**40)
    assert told(folder) == [("package-unreadable", "tokenizer.json")]
    (finding,) = (finding for finding in findings(folder) if finding.checked)
    assert "1,099,511,627,776 bytes; more than 64 MB are not read" in finding.message


def test_a_line_end_is_no_drift(tmp_path: Path) -> None:
    same = REFERENCE.removesuffix("\n").replace("\n", "\r\n")
    assert findings(write_folder(tmp_path / "m", changed("tokenizer_config.json", chat_template=same))) == []


def test_a_configuration_given_by_itself_has_its_folder(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "m",
        {
            "chat_template.jinja": None,
            **changed("tokenizer_config.json", chat_template=REFERENCE),
            **changed("generation_config.json", eos_token_id=1),
        },
    )
    assert told(folder / "tokenizer_config.json") == [("stop-tokens", "generation_config.json")]
