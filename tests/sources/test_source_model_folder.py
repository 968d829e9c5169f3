from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from source_helpers import TEXT, complaint

from conformance.sources import resolve

NAMED = [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]


def write(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def found(folder: Path) -> dict[str, str]:
    return {template.name: template.text for template in resolve(str(folder))}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"chat_template.jinja": "A"}, {"": "A"}),
        ({"tokenizer_config.json": {"chat_template": "B"}}, {"": "B"}),
        ({"tokenizer_config.json": {"chat_template": NAMED}}, {"": "D", "#tool_use": "T"}),
        ({"tokenizer_config.json": {"chat_template": {"default": "D", "x": "X"}}}, {"": "D", "#x": "X"}),
        ({"chat_template.json": {"chat_template": "C"}}, {"": "C"}),
        (
            {"processor_config.json": {"chat_template": "P"}, "chat_template.json": {"chat_template": "C"}},
            {"": "P"},
        ),
        (
            {"chat_template.jinja": "A", "additional_chat_templates/rag.jinja": "R"},
            {"": "A", "#rag": "R"},
        ),
        # Files win over the configuration as a whole, even where they bring no default.
        ({"chat_template.jinja": "A", "tokenizer_config.json": {"chat_template": NAMED}}, {"": "A"}),
        (
            {"additional_chat_templates/rag.jinja": "R", "tokenizer_config.json": {"chat_template": "B"}},
            {"#rag": "R"},
        ),
        ({"chat_template.jinja": "A", "additional_chat_templates/default.jinja": "R"}, {"": "R"}),
        # The processor's own template is another one, unless it has the same text.
        (
            {"chat_template.jinja": "A", "chat_template.json": {"chat_template": "C"}},
            {"": "A", "#chat_template.json": "C"},
        ),
        ({"chat_template.jinja": "A", "chat_template.json": {"chat_template": "A"}}, {"": "A"}),
    ],
)
def test_layouts(tmp_path: Path, files: dict[str, Any], expected: dict[str, str]) -> None:
    folder = write(tmp_path / "my-model", files)
    assert found(folder) == {f"my-model{suffix}": text for suffix, text in expected.items()}


@pytest.mark.parametrize("save_files", [True, False])
@pytest.mark.parametrize("templates", [TEXT, {"default": TEXT, "tool_use": "T", "rag": "R"}])
def test_what_transformers_writes_and_reads_back(
    tmp_path: Path, templates: str | dict[str, str], save_files: bool
) -> None:
    """End to end: transformers saves a tokenizer, and loads from the folder what we find in it."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend)
    tokenizer.chat_template = templates
    tokenizer.save_pretrained(tmp_path / "saved", save_jinja_files=save_files)
    loaded = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path / "saved").chat_template
    loaded = {"default": loaded} if isinstance(loaded, str) else loaded
    names = {"saved" if name == "default" else f"saved#{name}": text for name, text in loaded.items()}
    assert found(tmp_path / "saved") == names
    assert resolve(str(tmp_path / "saved"))[0].name == "saved"


def test_a_json_file_by_itself(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", {"tokenizer_config.json": {"chat_template": NAMED}})
    templates = resolve(str(folder / "tokenizer_config.json"))
    assert [template.name for template in templates] == ["m", "m#tool_use"]


def test_tool_use_says_when_it_is_taken(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", {"tokenizer_config.json": {"chat_template": NAMED}})
    default, tool_use = resolve(str(folder))
    assert default.note is None
    assert tool_use.note is not None
    assert "tools" in tool_use.note
    assert tool_use.source.member == "tokenizer_config.json#tool_use"


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "has no chat template: neither chat_template.jinja"),
        ({"config.json": {}}, "has no chat template"),
        ({"tokenizer_config.json": {"bos_token": "<s>"}}, "has no chat template"),
        ({"model.gguf": "GGUF"}, "it has the GGUF file model.gguf: give that instead"),
        ({"tokenizer_config.json": '{"chat_template": '}, "tokenizer_config.json in"),
        ({"tokenizer_config.json": '{"chat_template": '}, "is not valid JSON"),
        ({"tokenizer_config.json": "\ufeff{}"}, "is not valid JSON"),
        ({"tokenizer_config.json": "[1]"}, "must hold a JSON object, not list"),
        ({"tokenizer_config.json": "[" * 100_000}, "nested too deeply"),
        ({"tokenizer_config.json": {"chat_template": 3}}, "must be a string or a list"),
        (
            {"tokenizer_config.json": {"chat_template": [{"name": "x"}]}},
            "chat_template[0] in tokenizer_config.json",
        ),
        ({"tokenizer_config.json": {"chat_template": ""}}, "empty template"),
        ({"tokenizer_config.json": '{"chat_template": "a\\ud800"}'}, "lone surrogate at character 1"),
        ({"chat_template.jinja": " \n"}, "chat_template.jinja in"),
    ],
)
def test_bad_folders(tmp_path: Path, files: dict[str, Any], says: str) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    message = complaint(write(folder, files))
    assert says in message
    assert str(folder) in message
