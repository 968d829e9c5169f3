"""The engine `transformers-sanitized`: `apply_chat_template` with `sanitize_control_tokens=True`."""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from conformance.engines.base import Outcome, Rendered, register
from conformance.engines.transformers_jinja import TransformersEngine
from conformance.errors import UnjudgedError

OPTION = "sanitize_control_tokens"
FIRST_VERSION_SEEN = "5.23"

# What openai/gpt-oss-20b and -120b list as special in tokenizer_config.json, `added_tokens_decoder`.
CONTROL_TOKENS = {
    199998: "<|startoftext|>",
    199999: "<|endoftext|>",
    **{number: f"<|reserved_{number}|>" for number in (200000, 200001, 200004, *range(200009, 200018))},
    200002: "<|return|>",
    200003: "<|constrain|>",
    200005: "<|channel|>",
    200006: "<|start|>",
    200007: "<|end|>",
    200008: "<|message|>",
    200012: "<|call|>",
    200018: "<|endofprompt|>",
}


@register
class SanitizedTransformersEngine(TransformersEngine):
    """Renders as the engine `transformers`, and says what of the text transformers keeps from becoming control tokens.

    With the option, transformers puts private marks around each special token in the values of messages, tools and
    keyword arguments (not in keys), lets the template render them, and encodes what stands between two marks as
    ordinary text and the rest around it piece by piece. The outcome is the text without the marks, so its characters
    are judged as ever, and `ordinary` holds where the marks were. What is left to find: markers in keys (a parameter's
    name), templates that compare or cut marked text, and, as `token-mismatch`, ordinary tokens that differ from
    Harmony's because the text was cut at the marks.
    """

    name: ClassVar[str] = "transformers-sanitized"
    options: ClassVar[dict[str, Any]] = {"tokenize": True, "return_dict": False, OPTION: True}

    def __init__(self) -> None:
        super().__init__()
        self._marks: re.Pattern[str] = re.compile("(?!)")

    def available(self) -> str | None:
        """Return how to get a transformers that has the option, when the installed one has not."""
        if (missing := super().available()) is not None:
            return missing
        if not _has_option():
            return (
                f"transformers {version('transformers')} has no {OPTION}, {FIRST_VERSION_SEEN} has: "
                f"pip install 'transformers>={FIRST_VERSION_SEEN}'"
            )
        return None

    def load(self) -> None:
        """Import transformers' chat template code and the marks that it uses.

        Raises UnjudgedError when the installed version does it otherwise.
        """
        try:
            from transformers.utils.chat_template_utils import _get_control_token_patterns
        except ImportError as error:
            raise UnjudgedError(
                f"The engine {self.name} does not understand the installed transformers {self.version()} "
                f"({error}); install transformers {FIRST_VERSION_SEEN}."
            ) from None
        # transformers' own: a marked token, or a mark alone.
        self._marks = _get_control_token_patterns(tuple(CONTROL_TOKENS.values()))[1]
        super().load()

    def tokenizer(self, base: type[Any]) -> Any:
        """Return a tokenizer that knows the special tokens and, in place of tokens, returns the marked text."""
        from transformers import AddedToken

        plain = super().tokenizer(base)

        class Marking(type(plain)):  # type: ignore[misc]
            added_tokens_decoder: ClassVar[dict[int, Any]] = {
                number: AddedToken(text, special=True) for number, text in CONTROL_TOKENS.items()
            }
            chat_control_tokens = None

            def __call__(self, text: str, **_: Any) -> dict[str, str]:
                return {"input_ids": text}

        return Marking()

    def outcome(self, text: object) -> Outcome:
        """Return the text without its marks, and where the marked tokens stand; a mark alone only parts the text."""
        if not isinstance(text, str):
            return super().outcome(text)
        pieces: list[str] = []
        ordinary: list[tuple[int, int]] = []
        length = at = 0
        for match in self._marks.finditer(text):
            before, token = text[at : match.start()], match[1] or ""
            length += len(before)
            ordinary.append((length, length + len(token)))
            length += len(token)
            pieces += (before, token)
            at = match.end()
        return Rendered("".join([*pieces, text[at:]]), tuple(ordinary))


def _has_option() -> bool:
    """Say whether the installed transformers knows the option, without importing it."""
    spec = find_spec("transformers")
    if spec is None or spec.origin is None:
        return False
    source = Path(spec.origin).with_name("tokenization_utils_base.py")
    try:
        return f"{OPTION}:" in source.read_text(encoding="utf-8")
    except OSError:
        return False
