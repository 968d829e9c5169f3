"""Put a request in other words: letters and digits change, and everything that a prompt's layout may hang on stays.

A word becomes another of the same letters' classes (case, script, length), a number another of the same digits' count;
the same word always becomes the same other one within a request, so that names still fit their schemas. Special tokens,
white space, punctuation, escapes, the words of Harmony and JSON, and the keys of the API and of JSON Schema stay. What
the words become depends on their order alone, not on what they were.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from random import Random
from typing import Any

Body = dict[str, Any]

_OWN_WORDS = """
system developer user assistant tool analysis commentary final functions browser python json constrain code namespace
type any true false null True False None string number integer boolean array object low medium high start end message
channel return call function multi_tool_use parallel
"""
_RESERVED = frozenset(_OWN_WORDS.split())
_TOKEN = re.compile(
    r"(?P<kept><\|[^|<>]{1,40}\|>|\\u[0-9a-fA-F]{4}|\\.)|(?P<number>\d+)|(?P<word>[^\W\d_]+)", re.DOTALL
)
# Of the account, not of the prompt: left out.
_ACCOUNT = ("user", "metadata", "safety_identifier", "prompt_cache_key", "store")
# Their values are words of the API, not of a person.
_API_VALUES = frozenset(
    ["role", "type", "tool_choice", "reasoning_effort", "effort", "model", "builtin_tools", "verbosity"]
)
_SCHEMAS = frozenset(["parameters", "schema", "input_schema"])
_NAMED_SCHEMAS = frozenset(["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"])
_SCHEMA_DATA = frozenset(["default", "const", "enum", "examples", "example"])
_SCHEMA_WORDS = frozenset(["type", "format", "$schema"])
_TRIES = 50


class Words:
    """Other words for those of one request; `seed` chooses among those that fit."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)
        self._known: dict[str, str] = {}
        self._taken: set[str] = set()

    def body(self, body: Body) -> Body:
        """Return a chat-completions body in other words, without what is about the account."""
        return {key: self._api(value, key) for key, value in body.items() if key not in _ACCOUNT}

    def text(self, text: str) -> str:
        """Return a text in other words."""
        return _TOKEN.sub(self._token, text)

    def _token(self, match: re.Match[str]) -> str:
        if match["kept"] is not None or match[0] in _RESERVED:
            return match[0]
        return self._other(match[0])

    def _other(self, word: str) -> str:
        if word not in self._known:
            other = word
            for _ in range(_TRIES):
                other = "".join(_other_letter(self._random, letter) for letter in word)
                # Two words stay two, or keys of an object would become one.
                if other not in self._taken and other not in _RESERVED:
                    break
            self._taken.add(other)
            self._known[word] = other
        return self._known[word]

    def _api(self, value: Any, key: str) -> Any:
        if key in _API_VALUES and not isinstance(value, dict):
            return value
        if key in _SCHEMAS:
            return self._schema(value)
        if key == "arguments":
            return self._data(value)
        if isinstance(value, dict):
            return {name: self._api(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self._api(item, "") for item in value]
        return self.text(value) if isinstance(value, str) else value

    def _schema(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._schema(item) for item in value]
        if not isinstance(value, dict):
            return self._data(value)
        return {key: self._keyword(key, item) for key, item in value.items()}

    def _keyword(self, key: str, value: Any) -> Any:
        if key in _NAMED_SCHEMAS and isinstance(value, dict):
            return {self.text(name): self._schema(item) for name, item in value.items()}
        if key in _SCHEMA_WORDS:
            return value
        if key in _SCHEMA_DATA:
            return self._data(value)
        if key == "$ref" and isinstance(value, str):
            # The names of schemas change, the keywords on the way to them do not.
            return "/".join(
                part if part == "#" or part in _NAMED_SCHEMAS else self.text(part)
                for part in value.split("/")
            )
        if isinstance(value, str):
            return self.text(value)
        return self._schema(value) if isinstance(value, dict | list) else value

    def _data(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self.text(key): self._data(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._data(item) for item in value]
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bool) or value is None:
            return value
        return self._number(value)

    def _number(self, value: float) -> int | float:
        """Return a number of the same kind and as many digits."""
        mantissa, mark, exponent = repr(value).partition("e")
        return type(value)(re.sub(r"\d+", lambda digits: self._other(digits[0]), mantissa) + mark + exponent)


def _other_letter(random: Random, letter: str) -> str:
    if "a" <= letter <= "z":
        return chr(97 + random.randrange(26))
    if "A" <= letter <= "Z":
        return chr(65 + random.randrange(26))
    if "1" <= letter <= "9":
        return chr(49 + random.randrange(9))
    if letter == "0":
        return letter
    return random.choice(_alike(letter))


@lru_cache(maxsize=4096)
def _alike(letter: str) -> tuple[str, ...]:
    """Return the letters of the same class around a letter: its script, and so its tokens, are much alike."""
    category, start = unicodedata.category(letter), ord(letter) & ~0x3F
    return tuple(
        other
        for number in range(start, start + 0x40)
        if unicodedata.category(other := chr(number)) == category
        and len(other.encode()) == len(letter.encode())
        and unicodedata.is_normalized("NFKC", other) == unicodedata.is_normalized("NFKC", letter)
    ) or (letter,)
