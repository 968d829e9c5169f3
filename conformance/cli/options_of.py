"""Every option of every command, as declared: what a settings file may name, and of which type."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.models import OptionInfo

from conformance.cli.lazy import Command


@dataclass(frozen=True, slots=True)
class Option:
    """One option of one command; `key` is its name on the command line without dashes."""

    key: str
    parameter: str
    kind: type
    item: type
    default: Any
    declared: OptionInfo

    @property
    def wants(self) -> str:
        """What a value has to be, in words."""
        if issubclass(self.kind, enum.Enum):
            return "one of " + ", ".join(str(member.value) for member in self.kind)
        if self.kind is list:
            return "a list, such as [1, 2]" if self.item is int else 'a list of texts, such as ["a", "b"]'
        return _WORDS[self.kind]

    def accepts(self, value: Any) -> bool:
        """Return whether a value from a file is of this option's type, without guessing."""
        if issubclass(self.kind, enum.Enum):
            return value in [member.value for member in self.kind]
        if self.kind is list:
            return isinstance(value, list) and all(type(item) is self.item for item in value)
        if self.kind is float:
            return isinstance(value, int | float) and not isinstance(value, bool)
        if self.kind is Path:
            return isinstance(value, str)
        return type(value) is self.kind


_WORDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
    Path: "a path in quotes",
}

# The options of a command, or of a group: those of its own, and its commands below.
Options = dict[str, "Option | Options"]


def options_of(commands: Mapping[str, Command]) -> dict[str, Options]:
    """Return the options of all commands by name; those of a group hold its commands by their names."""
    return {name: _options(_load(command)) for name, command in commands.items()}


def own_options(options: Options) -> dict[str, Option]:
    """Return a command's own options by key, without commands below it."""
    return {key: option for key, option in options.items() if isinstance(option, Option)}


def _load(command: Command) -> typer.Typer | Callable[..., int]:
    module, _, attribute = command.place.partition(":")
    found: typer.Typer | Callable[..., int] = getattr(import_module(module), attribute)
    return found


def _options(found: typer.Typer | Callable[..., int]) -> Options:
    if not isinstance(found, typer.Typer):
        return {option.key: option for option in _declared(found)}
    below: Options = {}
    if found.registered_callback is not None and found.registered_callback.callback is not None:
        below |= {option.key: option for option in _declared(found.registered_callback.callback)}
    for command in found.registered_commands:
        if command.callback is not None:
            name = command.name or command.callback.__name__.replace("_", "-")
            below[name] = {option.key: option for option in _declared(command.callback)}
    return below


@cache
def _declared(function: Callable[..., Any]) -> tuple[Option, ...]:
    return tuple(_read(function))


def _read(function: Callable[..., Any]) -> Iterator[Option]:
    import inspect

    parameters = inspect.signature(function).parameters
    for name, hint in typing.get_type_hints(function, include_extras=True).items():
        marks = [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, OptionInfo)]
        if not marks:
            continue
        # In `Annotated`, typer keeps the first name in the place of the default.
        names = [marks[0].default, *(marks[0].param_decls or ())]
        long = [part for part in names if isinstance(part, str) and part.startswith("--")]
        key = long[0].split("/")[0] if long else name
        yield Option(
            key.removeprefix("--").replace("_", "-"),
            name,
            *_kind(hint.__origin__),
            parameters[name].default,
            marks[0],
        )


def _kind(hint: Any) -> tuple[type, type]:
    """Return the type of a value, and of one item where it is a list; `X | None` is X."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) in (list, tuple):
        return list, typing.get_args(hint)[0]
    return hint, hint
