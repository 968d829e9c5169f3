"""The model folder without weights: its tokenizer makes Harmony's tokens of what the grammar writes."""

from __future__ import annotations

from tokenizers import Tokenizer

from conformance.conversation import to_json
from conformance.generate import case_at
from conformance.oracles.load import tokenizer
from conformance.servers import model_folder


def test_its_tokens_are_harmonys() -> None:
    folder = model_folder.cached()
    mine, harmony = Tokenizer.from_file(str(folder / "tokenizer.json")), tokenizer()
    texts = ["Hello", "  two  spaces\n\n", "नमस्ते", "12345", "don't", "<|start|>user<|message|>Hi<|end|>"]
    texts += [to_json(case_at(5, index)).decode() for index in range(60)]
    for text in texts:
        assert mine.encode(text, add_special_tokens=False).ids == list(harmony.encode(text)), text
