"""Libraries that pretend to be Harmony, and the real copies of others where the cache or the network has them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from conformance.errors import UsageError
from conformance.oracles import copies
from conformance.oracles.authorities import find

# What `calls.Calls` needs of a library; a test replaces `render`.
FAKE = """
import enum, os, time

class HarmonyEncodingName(enum.Enum):
    HARMONY_GPT_OSS = "HarmonyGptOss"

class Role(enum.Enum):
    ASSISTANT = "assistant"

class PanicException(BaseException):
    pass

class RenderConversationConfig:
    def __init__(self, auto_drop_analysis):
        self.auto_drop_analysis = auto_drop_analysis

class Encoding:
    special_tokens_set = set()
    def parse_messages_from_completion_tokens(self, tokens, role=None, *, strict=True):
        return []
    def render_conversation_for_completion(self, conversation, role, config):
        text = conversation.to_json()
        {body}
    render_conversation_for_training = render_conversation_for_completion
    def encode(self, text, **how):
        return [1]

def load_harmony_encoding(name):
    return Encoding()
"""


def fake_library(folder: Path, body: str = "return [len(text)]") -> Path:
    """Write a module `openai_harmony` into a folder; `body` is what it does with the JSON `text`."""
    package = folder / "openai_harmony"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        FAKE.replace("{body}", body.replace("\n", "\n        ")), encoding="utf-8"
    )
    return folder


def claim(folder: Path, name: str, version: str, *, true: bool = True) -> None:
    """Write the metadata of a distribution that says it installed the module in a folder."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
    )
    (info / "top_level.txt").write_text("openai_harmony\n", encoding="utf-8")
    data = (folder / "openai_harmony" / "__init__.py").read_bytes() if true else b""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    (info / "RECORD").write_text(
        f"openai_harmony/__init__.py,sha256={digest},{len(data)}\n", encoding="utf-8"
    )


def real_copy(name: str) -> Path:
    """Return the folder of a pinned authority's copy; skips, with the reason, where it cannot be had."""
    try:
        copies.fetch(find(name))
    except UsageError as error:
        pytest.skip(f"{name} cannot be fetched: {error}")
    folder = copies.copy_of(find(name))
    assert folder is not None
    return folder
