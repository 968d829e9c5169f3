"""`conformance settings`: the readings of the format, and the profiles made of them."""

from __future__ import annotations

from rich.padding import Padding
from rich.text import Text

from conformance.cli.console import new_console
from conformance.errors import EXIT_CONFORMS
from conformance.oracles.profile import profiles, setting_citations, written
from conformance.report.terminal import TerminalWriter


def settings() -> int:
    """List the readings of the format, on whose word each stands, and the profiles made of them."""
    out = TerminalWriter(new_console())
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
    return EXIT_CONFORMS
