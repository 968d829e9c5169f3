"""`conformance settings`: which options hold and where each was set, the readings of the format, and the profiles."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conformance.cli.console import new_console
from conformance.cli.options_of import Option, Options, options_of, own_options
from conformance.cli.settings_file import FileSettings
from conformance.errors import EXIT_CONFORMS, UsageError
from conformance.oracles.profile import profiles, setting_citations, written
from conformance.report.terminal import TerminalWriter
from conformance.report.visible import inert


def settings(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMAND]", help="Only the options of this command, such as `precision compare`."
        ),
    ] = None,
) -> int:
    """Say which options hold and where each was set; then the readings of the format and the profiles."""
    from conformance.cli.app import COMMANDS  # which names this module

    loaded = context.find_root().obj
    assert isinstance(loaded, FileSettings)
    out = TerminalWriter(new_console())
    wanted = tuple(command or ("check",))
    chosen = _options_of(options_of(COMMANDS), wanted)
    origin = "no settings file" if loaded.path is None else str(loaded.path)
    out.print(Text(inert(f"options of {' '.join(wanted)} ({origin})"), "bold"))
    out.print(Padding(_held_table(chosen, wanted, loaded), (0, 0, 0, 2)))
    if command is None:
        print_readings(out)
    return EXIT_CONFORMS


def _options_of(commands: dict[str, Options], wanted: tuple[str, ...]) -> dict[str, Option]:
    options: Any = commands
    for part in wanted:
        if not isinstance(options, dict) or not isinstance(options.get(part), dict):
            names = ", ".join(key for key, value in options.items() if isinstance(value, dict))
            raise UsageError(
                f"No command is called {' '.join(wanted)!r}; choose from {names or 'none below it'}."
            )
        options = options[part]
    return own_options(options)


def _held_table(options: dict[str, Option], command: tuple[str, ...], loaded: FileSettings) -> Table:
    table = Table.grid(padding=(0, 2))
    for key, option in options.items():
        held = loaded.held.get(command, {}).get(option.parameter)
        value = option.default if held is None else held.value
        origin = "default" if held is None else held.origin
        table.add_row(
            Text(key), Text(inert(_shown(value))), Text(inert(origin), "dim" if held is None else "")
        )
    return table


def _shown(value: Any) -> str:
    if value is None or value is False:
        return "not set" if value is None else "false"
    if isinstance(value, enum.Enum):
        return str(value.value)
    return "true" if value is True else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def print_readings(out: TerminalWriter) -> None:
    """Print the readings of the format, on whose word each stands, and the profiles made of them."""
    for setting, values in setting_citations().items():
        out.print(Text(setting, "bold"))
        for value, said in values.items():
            out.print(Padding(Text(f"{value}  {said}"), (0, 0, 0, 2)))
    out.print(Text("profiles", "bold"))
    default, *others = profiles().values()
    out.print(Padding(Text(f"{default.name}  the default"), (0, 0, 0, 2)))
    for chosen in others:
        differs = ", ".join(
            written((setting, value))
            for setting, value in chosen.readings().items()
            if setting in chosen.differs_in(default)
        )
        out.print(Padding(Text(f"{chosen.name}  {differs}"), (0, 0, 0, 2)))
