"""Reads the values that JavaScript source writes down literally: strings, numbers, arrays, objects, chains of calls.

Nothing is run. What is not written down literally (functions, operators, variables of unknown value) cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\$]|\\.|\$(?!\{))*`)
    |(?P<number>-?\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?)
    |(?P<name>[A-Za-z_$][\w$]*)
    |(?P<sign>=>|\.\.\.|\?\.|[-+*/%<>=!&|?:;,.(){}\[\]])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]+)\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(\r?\n)|(.))", re.DOTALL)
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_WORDS = {"true": True, "false": False, "null": None, "undefined": None}
_CONSTANT = re.compile(r"^(?:export\s+)?(?:const|let|var)\s+([A-Za-z_$][\w$]*)\s*=\s*", re.MULTILINE)


class UnreadableError(Exception):
    """The source says something here that is no literal."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A name with what follows it, such as `z.string().optional()`: names and, for calls, their arguments."""

    steps: tuple[tuple[str, tuple[Any, ...] | None], ...]


class Source:
    """One file of JavaScript, with the constants that it declares at the begin of a line."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._begins = {found[1]: found.end() for found in _CONSTANT.finditer(text)}
        self._known: dict[str, Any] = {}
        self._open: set[str] = set()

    def constants(self) -> Mapping[str, Any]:
        """Return the constants that can be read, by name."""
        found = {}
        for name in self._begins:
            try:
                found[name] = self.constant(name)
            except UnreadableError:
                continue
        return found

    def constant(self, name: str) -> Any:
        """Return the value of a constant; raises UnreadableError where it is no literal."""
        if name not in self._begins or name in self._open:
            raise UnreadableError(name)
        if name not in self._known:
            self._open.add(name)
            try:
                self._known[name] = _Reader(self, self._begins[name]).value()
            finally:
                self._open.discard(name)
        return self._known[name]

    def arguments(self, begin: int, most: int) -> list[Any]:
        """Return the first arguments of a call whose bracket ends before `begin`, as far as they are literals."""
        reader = _Reader(self, begin)
        found: list[Any] = []
        try:
            while len(found) < most:
                found.append(reader.value())
                if not reader.take(","):
                    break
        except UnreadableError:
            pass
        return found


class _Reader:
    """Reads expressions from one place on."""

    def __init__(self, source: Source, at: int) -> None:
        self._source, self._at = source, at
        self._kind, self._token = "", ""
        self._next()

    def _next(self) -> None:
        while True:
            found = _TOKEN.match(self._source.text, self._at)
            if found is None:
                self._kind, self._token = "", ""
                return
            self._at = found.end()
            if found.lastgroup is not None:
                self._kind, self._token = found.lastgroup, found[0]
                return

    def take(self, sign: str) -> bool:
        """Go past a sign if it comes next."""
        if self._token != sign or self._kind != "sign":
            return False
        self._next()
        return True

    def _need(self, sign: str) -> None:
        if not self.take(sign):
            raise UnreadableError(self._token)

    def value(self) -> Any:
        """Read one expression."""
        value = self._one()
        while self.take("+"):
            other = self._one()
            if not isinstance(value, str) or not isinstance(other, str):
                raise UnreadableError("+")
            value += other
        if self._kind == "sign" and self._token not in (",", ")", "]", "}", ";", ":"):
            raise UnreadableError(self._token)
        return value

    def _one(self) -> Any:
        kind, token = self._kind, self._token
        if kind == "string":
            self._next()
            return _unescaped(token[1:-1])
        if kind == "number":
            self._next()
            plain = token.replace("_", "")
            return int(plain) if re.fullmatch(r"-?\d+", plain) else float(plain)
        if kind == "name":
            return self._name()
        if self.take("["):
            return self._items()
        if self.take("{"):
            return self._object()
        raise UnreadableError(token)

    def _items(self) -> list[Any]:
        items = []
        while not self.take("]"):
            items.append(self.value())
            if not self.take(","):
                self._need("]")
                break
        return items

    def _object(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self.take("}"):
            if self._kind not in ("name", "string"):
                raise UnreadableError(self._token)
            key = self._token if self._kind == "name" else _unescaped(self._token[1:-1])
            self._next()
            self._need(":")
            found[key] = self.value()
            if not self.take(","):
                self._need("}")
                break
        return found

    def _name(self) -> Any:
        steps: list[tuple[str, tuple[Any, ...] | None]] = [(self._token, None)]
        self._next()
        while True:
            if self.take("."):
                if self._kind != "name":
                    raise UnreadableError(self._token)
                steps.append((self._token, None))
                self._next()
            elif self.take("("):
                steps[-1] = (steps[-1][0], self._call())
            else:
                break
        return self._resolved(steps)

    def _call(self) -> tuple[Any, ...]:
        values = []
        while not self.take(")"):
            values.append(self._argument())
            if not self.take(","):
                self._need(")")
                break
        return tuple(values)

    def _argument(self) -> Any:
        """Read an argument; a function is none of our business, and neither is what it calls."""
        before = self._at, self._kind, self._token
        try:
            return self.value()
        except UnreadableError:
            self._at, self._kind, self._token = before
        depth = 0
        while self._kind and not (depth == 0 and self._token in (",", ")") and self._kind == "sign"):
            if self._kind == "sign":
                depth += (self._token in "([{") - (self._token in ")]}")
            self._next()
        return None

    def _resolved(self, steps: list[tuple[str, tuple[Any, ...] | None]]) -> Any:
        name, call = steps[0]
        if call is None and len(steps) == 1 and name in _WORDS:
            return _WORDS[name]
        if name in ("z", "zod"):
            return Chain(tuple(steps[1:]))
        if call is not None:
            raise UnreadableError(name)
        value = self._source.constant(name)
        for position, (key, given) in enumerate(steps[1:], 1):
            if isinstance(value, Chain):
                return Chain(value.steps + tuple(steps[position:]))
            if given is not None or not isinstance(value, dict) or key not in value:
                raise UnreadableError(key)
            value = value[key]
        return value


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        code = found[1] or found[2] or found[3]
        if code:
            return chr(int(code, 16))
        return "" if found[4] else _SHORT.get(found[5], found[5])

    return _ESCAPE.sub(one, text) if "\\" in text else text
