"""What a model package says about its tokens, where generation stops, and its templates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from conformance.rules.base import Slug

# Harmony docs/format.md, "Special Tokens"; a test compares these with the library's own encoding.
SPECIAL_TOKENS = {
    "<|return|>": 200_002,
    "<|constrain|>": 200_003,
    "<|channel|>": 200_005,
    "<|start|>": 200_006,
    "<|end|>": 200_007,
    "<|message|>": 200_008,
    "<|call|>": 200_012,
}
CONTEXT_LENGTH = 131_072
_ENOUGH = 4  # of the seven at their own ids: another vocabulary has none of them there


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The special tokens of one file: ids by text, and which are stored as ordinary text.

    `whole` says that a token which is not in here is not where it belongs; `instead` holds the text found there,
    where it was read.
    """

    where: str
    ids: dict[str, int]
    ordinary: tuple[str, ...] = ()
    whole: bool = True
    instead: dict[int, str] = field(default_factory=dict)

    def is_harmony(self) -> bool:
        """Say whether this is o200k_harmony, or meant to be."""
        return sum(self.ids.get(text) == number for text, number in SPECIAL_TOKENS.items()) >= _ENOUGH


@dataclass(frozen=True, slots=True)
class Stops:
    """The token ids at which generation stops; `by_text` when some are found by their text as well."""

    where: str
    ids: tuple[int, ...]
    by_text: bool = False


@dataclass(frozen=True, slots=True)
class Added:
    """What a tokenizer adds to a prompt by itself, in words; None when the file says that it adds nothing."""

    where: str
    what: str | None


@dataclass(frozen=True, slots=True)
class Flagged:
    """A special token of Harmony that a tokenizer treats otherwise than as it stands: `flags` in words."""

    where: str
    text: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A token that a tokenizer names for a purpose: `eos_token` or `pad_token`, and its text."""

    where: str
    purpose: str
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A chat template by the place where it lies; `name` is `default` or its name."""

    where: str
    name: str
    text: str


@dataclass(slots=True)
class Package:
    """What the files of one package say; empty lists where they say nothing.

    `claims` is the package's own word that it is gpt-oss, None without one. `unreadable` holds files with the
    sentence that says what is wrong; `absent` says, by rule, which file or value is missing. `sampling` holds values
    of generation settings by file and name; `response` is the response template.
    """

    location: str
    claims: bool | None = None
    vocabularies: list[Vocabulary] = field(default_factory=list)
    stops: Stops | None = None
    added: list[Added] = field(default_factory=list)
    context: list[tuple[str, int]] = field(default_factory=list)
    templates: list[Text] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    absent: list[tuple[Slug, str]] = field(default_factory=list)
    flagged: list[Flagged] = field(default_factory=list)
    named: list[Named] = field(default_factory=list)
    sampling: list[tuple[str, str, float]] = field(default_factory=list)
    response: dict[str, Any] | None = None

    def is_gpt_oss(self) -> bool:
        """Say whether this is a package of gpt-oss: by its own word, or by its vocabulary."""
        return bool(self.claims) or any(vocabulary.is_harmony() for vocabulary in self.vocabularies)

    def template(self, name: str = "default") -> Text | None:
        """Return the template that programs take first under a name."""
        return next((text for text in self.templates if text.name == name), None)
