"""Settings from a file: `conformance.toml`, or `[tool.conformance]` in `pyproject.toml`.

They become the defaults of the commands' options, so that the command line wins.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.cli.lazy import Command
from conformance.cli.options_of import Option, Options, options_of, own_options
from conformance.cli.streams import complain
from conformance.decode import read_toml
from conformance.errors import UsageError, printable

OWN_FILE = "conformance.toml"
SHARED_FILE = "pyproject.toml"
INCLUDE = "include"
_DEEPEST = 20  # files that include one another
# Options that run programs or name secrets: taken only from a file that the user named, never from one that was found
# in the current folder, which may be a stranger's upload.
_ONLY_IF_NAMED = frozenset({"command", "kernel", "api-key-variable"})


@dataclass(frozen=True, slots=True)
class Held:
    """The value of an option, and the file and table that it comes from."""

    key: str
    value: Any
    origin: str


@dataclass
class FileSettings:
    """What files say, as the defaults of commands, each with its origin; `path` is the first file, None without any."""

    path: Path | None = None
    held: dict[tuple[str, ...], dict[str, Held]] = field(default_factory=dict)

    def default_map(self) -> dict[str, Any]:
        """Return the values in the form that the command line's parser takes as defaults."""
        made: dict[str, Any] = {}
        for command, options in self.held.items():
            place = made
            for part in command:
                place = place.setdefault(part, {})
            place.update({name: held.value for name, held in options.items()})
        return made


def load_settings(
    commands: Mapping[str, Command], named: Path | None, arguments: Sequence[str], *, use: bool = True
) -> FileSettings:
    """Return the settings of the file named, else of the one found from the current folder upwards.

    One that was found inside a folder to be judged is the upload's own, not the user's: it is left out, and that is
    said. Raises UsageError for a file that cannot be read, an unknown key, a wrong type, or files that include one
    another.
    """
    if not use:
        return FileSettings()
    path = named or find_settings(Path.cwd())
    if path is None:
        return FileSettings()
    if named is None and (inside := _judged_folder(path, arguments)):
        complain(
            f"note: {path.name} lies in {printable(inside)}, which is judged, so that its settings are not used; "
            f"--settings {path.name} uses them"
        )
        return FileSettings()
    return _Reader(options_of(commands), trusted=named is not None).read(path)


def find_settings(folder: Path) -> Path | None:
    """Return the nearest settings file: in this folder, or above it as far as its repository goes."""
    above = [folder, *folder.parents]
    root = next((number for number, each in enumerate(above) if (each / ".git").exists()), 0)
    for each in above[: root + 1]:
        if (each / OWN_FILE).is_file():
            return each / OWN_FILE
        shared = each / SHARED_FILE
        if shared.is_file() and _table(shared) is not None:
            return shared
    return None


def _judged_folder(path: Path, arguments: Sequence[str]) -> str | None:
    for argument in arguments:
        with_folder = Path(argument)
        try:
            if with_folder.is_dir() and path.resolve().is_relative_to(with_folder.resolve()):
                return argument
        except (OSError, ValueError):  # a name that no file can have
            continue
    return None


def _table(path: Path) -> dict[str, Any] | None:
    """Return a file's settings; None for a pyproject.toml without any."""
    content = read_toml(path, "the settings")
    if path.name != SHARED_FILE:
        return content
    tool = content.get("tool")
    table = tool.get("conformance") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise UsageError(f"{path}: tool.conformance is no table; write [tool.conformance].")
    return table


class _Reader:
    """Reads settings files, checks every key, and keeps for each option the value nearest to the first file."""

    def __init__(self, commands: dict[str, Options], *, trusted: bool) -> None:
        self._commands = commands
        self._trusted = trusted
        self._shared = own_options(commands["check"])
        self._found = FileSettings()

    def read(self, path: Path) -> FileSettings:
        self._found.path = path
        # What includes wins over what is included, so that it is read last.
        for file, table in reversed(list(self._files(path, ()))):
            self._take(file, table)
        return self._found

    def _files(self, path: Path, including: tuple[Path, ...]) -> Iterator[tuple[Path, dict[str, Any]]]:
        here = path.resolve()
        if here in including:
            circle = " includes ".join(each.name for each in (*including[including.index(here) :], here))
            raise UsageError(f"The settings go in a circle: {circle}; remove one `include`.")
        if len(including) >= _DEEPEST:
            raise UsageError(f"{path}: settings include one another more than {_DEEPEST} deep.")
        table = _table(path)
        if table is None:
            raise UsageError(f"{path} has no [tool.conformance]; write one, or name another file.")
        table = dict(table)
        included = table.pop(INCLUDE, [])
        names = [included] if isinstance(included, str) else included
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise UsageError(
                f"{path}: include is {_shown(included)}; give a path in quotes, or a list of them."
            )
        yield path, table
        for name in reversed(names):
            yield from self._files(path.parent / name, (*including, here))

    def _take(self, path: Path, table: Mapping[str, Any]) -> None:
        prefix = "tool.conformance" if path.name == SHARED_FILE else ""
        own: list[tuple[tuple[str, ...], Options, Mapping[str, Any], str]] = []
        for key, value in table.items():
            if key in self._commands and isinstance(value, dict):
                own.append(((key,), self._commands[key], value, _joined(prefix, key)))
            elif key in self._shared:
                self._share(path, prefix, self._shared[key], value)
            else:
                raise UsageError(self._unknown(path, prefix, key, [*self._shared, *self._commands, INCLUDE]))
        for command, options, keys, where in own:  # after what is shared, since it is nearer
            self._take_command(path, command, options, keys, where)

    def _share(self, path: Path, where: str, option: Option, value: Any) -> None:
        """Set an option for `check` and for all commands that have the very same option."""
        for command, options in self._commands.items():
            own = own_options(options).get(option.key)
            if own is not None and own.declared is option.declared:
                self._set(path, (command,), own, value, where)

    def _take_command(
        self, path: Path, command: tuple[str, ...], options: Options, keys: Mapping[str, Any], where: str
    ) -> None:
        for key, value in keys.items():
            option = options.get(key)
            if isinstance(option, Option):
                self._set(path, command, option, value, where)
            elif option is not None and isinstance(value, dict):
                self._take_command(path, (*command, key), option, value, _joined(where, key))
            else:
                raise UsageError(self._unknown(path, where, key, list(options)))

    def _set(self, path: Path, command: tuple[str, ...], option: Option, value: Any, where: str) -> None:
        full = _joined(where, option.key)
        if not option.accepts(value):
            raise UsageError(f"{path}: {full} is {_shown(value)}; give {option.wants}.")
        if option.key in _ONLY_IF_NAMED and not self._trusted:
            raise UsageError(
                f"{path}: {full} runs a program or names a secret, which is taken only from a file that is named; "
                f"use --settings {path.name} if it is yours."
            )
        origin = str(path) if not where else f"{path} [{where}]"
        self._found.held.setdefault(command, {})[option.parameter] = Held(
            option.key, _placed(option, value, path), origin
        )

    def _unknown(self, path: Path, where: str, key: str, known: Sequence[str]) -> str:
        near = difflib.get_close_matches(key.replace("_", "-").lower(), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "`conformance settings` lists what there is."
        return f"{path}: no option or command is called {printable(_joined(where, key))}; {hint}"


def _joined(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return printable(f'"{value}"' if isinstance(value, str) else str(value), 60)


def _placed(option: Option, value: Any, path: Path) -> Any:
    """Return a value whose paths are those of the settings file's folder, not of the current one."""
    folder = path.parent
    if option.kind is Path:
        return str(folder / value)
    if option.key == "profile" and str(value).endswith(".toml"):
        return str(folder / value)
    if option.key == "format" and isinstance(value, list):
        parts = [item.partition("=") for item in value]
        return [
            f"{name}={folder / file}" if equals and file not in ("", "-") else f"{name}{equals}{file}"
            for name, equals, file in parts
        ]
    return value
