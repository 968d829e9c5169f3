"""The readings and profiles as Markdown tables, for docs/profiles.md, which `nox -s renew` keeps."""

from __future__ import annotations

from conformance.oracles.profile import profiles, setting_citations
from conformance.report.markdown import between

READINGS = ("<!-- readings: generated -->", "<!-- readings: end -->")
PROFILES = ("<!-- profiles: generated -->", "<!-- profiles: end -->")


def readings_table() -> str:
    """Return the Markdown table of all settings with their values and citations."""
    rows = ["| setting | value | who reads it so |", "|---|---|---|"]
    for setting, values in setting_citations().items():
        named = [f"`{setting}`"] + [""] * (len(values) - 1)
        for first, (value, said) in zip(named, values.items(), strict=True):
            rows.append(f"| {first} | `{value}` | {said.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def profiles_table() -> str:
    """Return the Markdown table of all profiles and what each departs from the default in."""
    default, *others = profiles().values()
    rows = [
        "| profile | departs from the default in |",
        "|---|---|",
        f"| `{default.name}` | it is the default |",
    ]
    for chosen in others:
        departs = [
            f"`{setting}={value}`"
            for setting, value in chosen.readings().items()
            if setting in chosen.differs_in(default)
        ]
        rows.append(f"| `{chosen.name}` | {', '.join(departs)} |")
    return "\n".join(rows)


def updated(text: str) -> str:
    """Return a document with the tables between their marks made new.

    Raises ValueError when the marks are not there.
    """
    return between(between(text, *READINGS, readings_table()), *PROFILES, profiles_table())
