"""`conformance report`: kept reports again, in other formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec.structs import replace

from conformance.cli.options import Cards, Formats
from conformance.cli.publish import Destinations
from conformance.cli.runs import kept_runs
from conformance.decode import decode_json
from conformance.errors import EXIT_CONFORMS, UsageError
from conformance.gate.exits import exit_code
from conformance.precision.report import SCHEMA, PrecisionReport
from conformance.precision.view import terminal
from conformance.report.files import read_file
from conformance.report.json_file import FILE_NAME, read
from conformance.report.model import Report


def report(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE|DIR]...",
            help="Reports, or folders with one: a run's, a precision run's, or one of each. Default: the newest run.",
        ),
    ] = None,
    cards: Cards = 5,
    format: Formats = None,
) -> int:
    """Show kept reports again, in any format; the exit code is that of what they say."""
    destinations = Destinations(format or (), cards)
    paths = files or kept_runs()[:1]
    shown = _together([(path, _read(path)) for path in paths])
    precision = None if shown.precision is None else _precision(shown.precision, paths[-1])
    destinations.write(shown, _folder(paths[-1]), terminal=bool(shown.targets) or precision is None)
    if precision is not None and destinations.shows:
        terminal.render(precision, destinations.console)
    codes = [EXIT_CONFORMS if precision is None else precision.exit_code()]
    if shown.targets or precision is None:
        codes.append(exit_code(shown))
    return max(codes)


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _read(path: Path) -> Report:
    """Read a report, also one of the precision track alone; raises UsageError where it is none."""
    file = path / FILE_NAME if path.is_dir() else path
    data = decode_json(read_file(file), dict[str, Any], f"{file} is not a report")
    if data.get("schema") != SCHEMA:
        return read(file)
    return msgspec.convert(_precision(data, file).to_common(), Report)


def _precision(data: dict[str, Any], path: Path) -> PrecisionReport:
    try:
        return msgspec.convert(data, PrecisionReport)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path} has a broken precision report: {error}") from None


def _together(reports: list[tuple[Path, Report]]) -> Report:
    """Return one report of a run's and a precision run's; raises UsageError for two of a kind."""
    judged = [(path, found) for path, found in reports if found.targets or found.precision is None]
    measured = [(path, found) for path, found in reports if found.precision is not None]
    for kind, several in (("judged targets", judged), ("a precision run", measured)):
        if len(several) > 1:
            named = " and ".join(str(path) for path, _ in several)
            raise UsageError(f"{named} are both reports of {kind}; name one of each kind.")
    if not judged:
        return measured[0][1]
    return replace(judged[0][1], precision=measured[0][1].precision) if measured else judged[0][1]
