"""Commands that are imported when they run: `--help` must not wait for what they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from conformance.errors import EXIT_USAGE

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class Command(NamedTuple):
    """Where a command is, as `module:name` of a function or a Typer app, and its line in the list of all."""

    place: str
    help: str


class LazyCommands(Mapping[str, Any]):
    """The commands of a group by name; one is imported when it is looked up."""

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self.commands = commands

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = self.commands[name].place.partition(":")
        found: typer.Typer | Callable[..., int] = getattr(import_module(module), attribute)
        made: Any
        if isinstance(found, typer.Typer):
            found.rich_markup_mode = None
            made = get_group(found)
            made.help = self.commands[name].help
        else:
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            alone.command(name, context_settings=HELP_NAMES)(found)
            made = get_command(alone)
        made.name = name
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self.commands)

    def __len__(self) -> int:
        return len(self.commands)


def lazy_group(commands: Mapping[str, Command]) -> type[TyperGroup]:
    """Return the class of a group with these commands."""

    class Group(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands = LazyCommands(commands)  # type: ignore[assignment]

        def format_commands(self, ctx: Any, formatter: Any) -> None:
            with formatter.section("Commands"):
                formatter.write_dl([(name, command.help) for name, command in commands.items()])

    return Group


def help_without_command(context: typer.Context) -> None:
    """Print the help of a group that was called without a command, which is wrong usage."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(EXIT_USAGE)
