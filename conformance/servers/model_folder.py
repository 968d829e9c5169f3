"""Write a gpt-oss model folder without weights: enough for whoever makes prompts from one (vLLM, SGLang)."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from conformance.errors import UnjudgedError
from conformance.resources import resource
from conformance.servers.tiny_gguf import byte_letters, ranks, special_tokens, token_merges

VERSION = 1  # of what is written; another number is another folder in the cache
# How o200k_base cuts a text into words, as the published vocabulary's own library has it.
_WORDS = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
_CONFIG = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "num_local_experts": 2,
    "num_experts_per_tok": 1,
    "vocab_size": 201_088,
    "max_position_embeddings": 131_072,
    "sliding_window": 128,
    "layer_types": ["full_attention"],
    "rms_norm_eps": 1e-05,
    "rope_theta": 150_000,
    "eos_token_id": 200_002,
    "pad_token_id": 199_999,
    "torch_dtype": "bfloat16",
}
_GENERATION = {"bos_token_id": 199_998, "eos_token_id": [200_002, 199_999, 200_012], "pad_token_id": 199_999}
_TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|startoftext|>",
    "eos_token": "<|return|>",
    "pad_token": "<|endoftext|>",
    "model_max_length": 131_072,
}


def cached() -> Path:
    """Return the folder in the user's cache, with this project's reference template, written now if it is not there.

    Raises UnjudgedError when the vocabulary is missing or the cache cannot be written.
    """
    template = resource("templates", "gpt-oss.jinja").read_text("utf-8")
    root = user_cache_path("chat-template-conformance", appauthor=False) / "models"
    folder = root / f"tiny-gpt-oss-folder-{VERSION}"
    try:
        if not (folder / "config.json").is_file():
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=root, prefix=".new-") as place:
                new = Path(place, folder.name)
                write(new)
                try:
                    os.replace(new, folder)
                except OSError:
                    # Another process was faster, and its folder is the same.
                    if not (folder / "config.json").is_file():
                        raise
        kept = folder / "chat_template.jinja"
        if not kept.is_file() or kept.read_text("utf-8") != template:
            kept.write_text(template, encoding="utf-8", newline="")
    except OSError as error:
        raise UnjudgedError(f"Cannot write {folder}: {error.strerror or error}; 30 MB are needed.") from None
    return folder


def write(folder: Path, template: str | None = None) -> None:
    """Write the folder: configuration and tokenizer, 28 MB; with a chat template where one is given."""
    folder.mkdir(parents=True)
    for name, value in (("generation_config", _GENERATION), ("tokenizer_config", _TOKENIZER)):
        _write(folder / f"{name}.json", value)
    _write(folder / "tokenizer.json", _tokenizer())
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8", newline="")
    # Last, since it says that the folder is whole.
    _write(folder / "config.json", _CONFIG)


def copy(folder: Path, template: str) -> None:
    """Copy the cached folder to `folder`, with another chat template."""
    shutil.copytree(cached(), folder)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8", newline="")


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _tokenizer() -> dict[str, Any]:
    """Return the published tokenizer in the form of Hugging Face's tokenizers."""
    known, letters = ranks(), byte_letters()
    vocabulary = {"".join([letters[byte] for byte in token]): rank for token, rank in known.items()}
    split = {"type": "Split", "pattern": {"Regex": _WORDS}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, name in special_tokens().items()
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": vocabulary,
            "merges": [merge.split(" ") for merge in token_merges(known)],
        },
    }
