"""Write a tiny gpt-oss model with the real vocabulary, so that a real llama-server can be started anywhere.

The weights are zeros (nobody asks the model to speak), the tokenizer is the published one: the tokens of o200k_base,
the special tokens of Harmony, and the merges, which the vocabulary file does not list but which follow from it.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from platformdirs import user_cache_path

from conformance.errors import UnjudgedError
from conformance.oracles import vocabulary

VERSION = 2  # of what is written; another number is another file in the cache
TOKENS = 201_088
_FIRST_SPECIAL, _LAST_SPECIAL = 199_998, 200_018
_SPECIAL = {
    199_998: "<|startoftext|>",
    199_999: "<|endoftext|>",
    200_002: "<|return|>",
    200_003: "<|constrain|>",
    200_005: "<|channel|>",
    200_006: "<|start|>",
    200_007: "<|end|>",
    200_008: "<|message|>",
    200_012: "<|call|>",
    200_018: "<|endofprompt|>",
}
_NORMAL, _CONTROL = 1, 3  # llama.cpp's token types
_DIMS, _EXPERTS, _HEADS, _HEAD = 32, 2, 1, 32


def cached() -> Path:
    """Return the model in the user's cache, written now if it is not there; it has no chat template of its own.

    Raises UnjudgedError when the vocabulary is missing or the cache cannot be written.
    """
    folder = user_cache_path("chat-template-conformance", appauthor=False) / "models"
    path = folder / f"tiny-gpt-oss-{VERSION}.gguf"
    if path.is_file():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".new-", suffix=".gguf")
        os.close(handle)
        try:
            write(Path(temporary))
            os.replace(temporary, path)  # another process may write the same file at the same time
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UnjudgedError(f"Cannot write {path}: {error.strerror or error}; 40 MB are needed.") from None
    return path


def write(path: Path, template: str | None = None) -> None:
    """Write the model: architecture gpt-oss, one layer, two experts, 34 MB; with a chat template where one is given."""
    import gguf
    import numpy

    known = ranks()
    writer = gguf.GGUFWriter(path, "gpt-oss")
    writer.add_name("tiny gpt-oss with the real vocabulary")
    writer.add_block_count(1)
    writer.add_context_length(131_072)
    writer.add_embedding_length(_DIMS)
    writer.add_feed_forward_length(_DIMS)
    writer.add_expert_feed_forward_length(_DIMS)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_key_length(_HEAD)
    writer.add_value_length(_HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_sliding_window(128)
    writer.add_expert_count(_EXPERTS)
    writer.add_expert_used_count(1)
    writer.add_rope_freq_base(150_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-4o")
    names = _names(known)
    writer.add_token_list(names)
    writer.add_token_types([_CONTROL if number >= _FIRST_SPECIAL else _NORMAL for number in range(TOKENS)])
    writer.add_token_merges(list(token_merges(known)))
    writer.add_bos_token_id(199_998)
    writer.add_eos_token_id(200_002)
    writer.add_pad_token_id(199_999)
    if template is not None:
        writer.add_chat_template(template)

    def zeros(name: str, *shape: int, kind: type = numpy.float32) -> None:
        writer.add_tensor(name, numpy.zeros(shape, dtype=kind))

    for name in ("token_embd", "output"):
        zeros(f"{name}.weight", TOKENS, _DIMS, kind=numpy.float16)
    zeros("output_norm.weight", _DIMS)
    block = "blk.0."
    for name in ("attn_norm", "post_attention_norm"):
        zeros(f"{block}{name}.weight", _DIMS)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        zeros(f"{block}{name}.weight", _DIMS, _DIMS, kind=numpy.float16)
        zeros(f"{block}{name}.bias", _DIMS)
    zeros(f"{block}attn_sinks.weight", _HEADS)
    zeros(f"{block}ffn_gate_inp.weight", _EXPERTS, _DIMS)
    zeros(f"{block}ffn_gate_inp.bias", _EXPERTS)
    for name in ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"):
        zeros(f"{block}{name}.weight", _EXPERTS, _DIMS, _DIMS, kind=numpy.float16)
        zeros(f"{block}{name}.bias", _EXPERTS, _DIMS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def special_tokens() -> dict[int, str]:
    """Return Harmony's special tokens by number, the reserved ones between them too."""
    return {
        number: _SPECIAL.get(number, f"<|reserved_{number}|>")
        for number in range(_FIRST_SPECIAL, _LAST_SPECIAL + 1)
    }


def ranks() -> dict[bytes, int]:
    """Return the tokens of o200k_base with their numbers, which are the order in which they are made."""
    found = vocabulary.prepare()
    folder = found.folder
    if folder is None:
        raise UnjudgedError(f"The vocabulary file is not here; {vocabulary.WAY_OUT}.")
    lines = (folder / vocabulary.FILE_NAME).read_bytes().splitlines()
    return {base64.b64decode(token): int(rank) for token, _, rank in (line.partition(b" ") for line in lines)}


def byte_letters() -> dict[int, str]:
    """Return GPT-2's letter for each byte: printable ones stand for themselves, others for what follows U+0100."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + n) for n, byte in enumerate(others)}


def _names(ranks: dict[bytes, int]) -> list[str]:
    letters = byte_letters()
    names = [f"<|reserved_{number}|>" for number in range(TOKENS)]
    for token, rank in ranks.items():
        names[rank] = "".join([letters[byte] for byte in token])
    for number, name in _SPECIAL.items():
        names[number] = name
    return names


def token_merges(ranks: dict[bytes, int]) -> Iterator[str]:
    """Yield the merges in the order of their ranks: every two tokens that make up a third.

    The published GGUFs and tokenizer.json have all of them too (446,189): tiktoken joins any two neighbours that make
    a token, not only those that the token was once made of.
    """
    letters = byte_letters()
    names = {token: "".join([letters[byte] for byte in token]) for token in ranks}
    for token in sorted(ranks, key=ranks.__getitem__):
        cuts = [(token[:i], token[i:]) for i in range(1, len(token))]
        both = [
            (ranks[left], ranks[right], left, right)
            for left, right in cuts
            if left in ranks and right in ranks
        ]
        for _, _, left, right in sorted(both):
            yield f"{names[left]} {names[right]}"
