"""What the model loses when a rule is broken, beside how sure we are that it is wrong: two newlines are no lost call."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Impact: TypeAlias = Literal["structure", "content", "wording", "white space"]

# The gravest first: structure is role, channel, call or boundary, content is text lost, altered or repeated, wording is
# comments and types of schemas and fixed sentences.
IMPACTS: Final[tuple[Impact, ...]] = ("structure", "content", "wording", "white space")

_HEADER = "a header says who speaks, in which channel and to whom"
_BOUNDARY = "a message begins or ends elsewhere than the model learned"
_LOST = "the model does not read what was said"
_ALTERED = "the model reads other text than was said"
_TYPE = "the same tool is described in other words or signs"
_FIXED = "a sentence that the model always saw reads otherwise"
_BLANK = "only blanks or newlines differ"
_NO_PROMPT = "there is no prompt at all"
_STOPS = "where a turn ends is not what the model learned"

_TABLE: Final[dict[Impact, dict[str, tuple[str, ...]]]] = {
    "structure": {
        _HEADER: (
            "builtin-tools", "recipient-placement", "preamble-channel", "result-author", "final-channel-missing",
            "thinking-channel", "role-header",
        ),
        _BOUNDARY: (
            "call-terminator", "return-or-end", "generation-prompt", "empty-final", "message-added",
            "injected-special-token", "token-mismatch", "section-order", "generation-prompt-not-suffix",
            "generation-prompt-uninvited", "continuation-broken", "text-reordered", "assistant-mask",
        ),
        "a call or a message is missing from the conversation": (
            "parallel-calls-dropped", "message-dropped", "tool-dropped", "functions-note",
        ),
        _NO_PROMPT: (
            "template-crashed", "template-rejected", "does-not-compile", "resource-limit", "package-unreadable",
        ),
        _STOPS: ("stop-tokens", "special-token-ids", "special-token-type", "bos-added"),
        "nobody knows yet what differs": ("unclassified",),
    },
    "content": {
        _LOST: (
            "thinking-retention", "thinking-dropped", "text-lost", "nested-object", "unsupported-input", "enum-values",
            "array-items", "current-date", "reasoning-effort", "context-length",
        ),
        _ALTERED: (
            "instructions-altered", "default-literal", "arguments-double-encoded", "arguments-altered",
            "result-json-encoded", "text-altered", "text-trimmed", "text-repeated", "python-repr", "template-drift",
            "engine-disagrees", "not-reproducible", "prefix-unstable", "end-unstable",
        ),
    },
    "wording": {
        _TYPE: (
            "missing-description", "multiline-description", "default-comment-placement", "empty-parameters",
            "nullable-ignored", "type-union", "one-of-layout", "array-without-items", "schema-comments-dropped",
            "type-name", "required-mark", "tool-layout", "property-comma",
        ),
        _FIXED: ("system-text", "content-type-marker", "empty-instructions"),
        "the arguments are the same value, written otherwise": ("arguments-formatting",),
    },
    "white space": {_BLANK: ("instructions-trailing-newlines", "extra-newline")},
}  # fmt: skip

_BY_SLUG = {
    slug: (impact, reason)
    for impact, reasons in _TABLE.items()
    for reason, slugs in reasons.items()
    for slug in slugs
}


def impact_of(slug: str) -> Impact:
    """Return what the model loses when this rule is broken; of a rule that is not in the table, the gravest."""
    return _BY_SLUG[slug][0] if slug in _BY_SLUG else "structure"


def impact_reason(slug: str) -> str:
    """Return why a rule has its impact, in half a sentence."""
    return _BY_SLUG[slug][1] if slug in _BY_SLUG else "its rule does not say what it costs"


def impact_slugs() -> set[str]:
    """Return the rules that the table knows."""
    return set(_BY_SLUG)
