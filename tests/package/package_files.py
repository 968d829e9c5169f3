"""Small packages that the tests write: a model folder, and GGUF metadata with a vocabulary of gpt-oss's size."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.package_checks import examine
from conformance.package_checks.facts import SPECIAL_TOKENS
from conformance.report.model import Finding
from conformance.resources import resource
from conformance.sources import resolve

REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
RESPONSE = json.loads(resource("templates", "gpt-oss-response.json").read_text(encoding="utf-8"))
VOCABULARY = 201_088
Json = dict[str, Any]


def added(ids: Mapping[str, int] = SPECIAL_TOKENS) -> list[Json]:
    return [{"id": number, "content": text, "special": True} for text, number in ids.items()]


def decoder(ids: Mapping[str, int] = SPECIAL_TOKENS) -> Json:
    return {str(number): {"content": text, "special": True} for text, number in ids.items()}


def good_files() -> dict[str, Any]:
    """Return a package as openai publishes it, as far as the checks look: JSON values or text by file name."""
    return {
        "chat_template.jinja": REFERENCE,
        "config.json": {"model_type": "gpt_oss", "max_position_embeddings": 131_072, "eos_token_id": 200_002},
        "generation_config.json": {"eos_token_id": [200_002, 199_999, 200_012], "bos_token_id": 199_998},
        "tokenizer_config.json": {
            "added_tokens_decoder": decoder(),
            "eos_token": "<|return|>",
            "pad_token": "<|endoftext|>",
            "response_template": RESPONSE,
        },
        "tokenizer.json": {
            "added_tokens": added(),
            "post_processor": {"type": "ByteLevel", "add_prefix_space": True},
            "model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]},
        },
    }


def changed(name: str, **values: Any) -> dict[str, Any]:
    """Return the change that gives one good file other values."""
    return {name: {**good_files()[name], **values}}


def write_folder(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Write a package; in `changes` None removes a file and bytes are written as they are."""
    folder.mkdir(exist_ok=True)
    for name, content in {**good_files(), **(changes or {})}.items():
        if content is None:
            continue
        if not isinstance(content, str | bytes):
            content = json.dumps(content)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def string(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def strings(items: list[bytes]) -> bytes:
    return struct.pack("<IQ", 8, len(items)) + b"".join(map(string, items))


def integers(items: list[int]) -> bytes:
    return struct.pack(f"<IQ{len(items)}i", 5, len(items), *items)


def good_values() -> dict[str, tuple[int, bytes]]:
    """Return the metadata of a GGUF as llama.cpp's converter writes it: type and bytes by key."""
    tokens = [b"t%06d" % number for number in range(VOCABULARY)]
    types = [1] * VOCABULARY
    for text, number in SPECIAL_TOKENS.items():
        tokens[number], types[number] = text.encode(), 3
    return {
        "general.architecture": (8, string(b"gpt-oss")),
        "gpt-oss.context_length": (4, struct.pack("<I", 131_072)),
        "tokenizer.ggml.model": (8, string(b"gpt2")),
        "tokenizer.ggml.pre": (8, string(b"gpt-4o")),
        "tokenizer.ggml.tokens": (9, strings(tokens)),
        "tokenizer.ggml.token_type": (9, integers(types)),
        "tokenizer.ggml.merges": (9, strings([b"a b"] * 1_000)),
        "tokenizer.ggml.bos_token_id": (4, struct.pack("<I", 199_998)),
        "tokenizer.ggml.eos_token_id": (4, struct.pack("<I", 200_002)),
        "tokenizer.chat_template": (8, string(REFERENCE.encode())),
    }


def write_gguf(path: Path, values: Mapping[str, tuple[int, bytes] | None]) -> Path:
    """Write a GGUF file of metadata alone; a value that is None is left out."""
    pairs = [(key, value) for key, value in values.items() if value is not None]
    content = b"".join(string(key.encode()) + struct.pack("<I", kind) + data for key, (kind, data) in pairs)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + content)
    return path


def findings(target: Path) -> list[Finding]:
    """Examine a target as `conformance check` does."""
    found = examine(resolve(str(target), offline=True))
    return [finding for each in found.values() for finding in each]


def told(target: Path) -> list[tuple[str, str]]:
    """Return what is wrong, as slug and place."""
    return [(finding.rule, finding.where) for finding in findings(target) if finding.checked]
