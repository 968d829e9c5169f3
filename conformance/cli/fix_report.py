"""How a repair is shown: the diff for `patch`, the rules before and after, what was applied and what was not."""

from __future__ import annotations

import difflib
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.cli.say import say
from conformance.fixes.base import fixes
from conformance.fixes.reference import NAME
from conformance.fixes.repair import Compared, Repair
from conformance.fixes.trial import Results
from conformance.report.cards import percent
from conformance.resources import resource
from conformance.rules import rule
from conformance.sources import Template

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def print_diff(console: Console, template: Template, text: str) -> None:
    """Print the change: to a pipe as it is, to a terminal in colours and without what could control it."""
    diff = unified_diff(template, text)
    if not console.is_terminal:
        console.file.write(diff)
        return
    for line in diff.split("\n")[:-1]:
        shown = "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in line)
        console.print(Text(shown, _STYLES.get(line[:1], "")), soft_wrap=True, highlight=False)


def unified_diff(template: Template, text: str) -> str:
    """Return a unified diff that `patch -p1` understands where the template is a file below the current folder.

    Lines are split at line feeds only, as `patch` does.
    """
    old, new = (_header(f"{side}/{_patched_file(template)}") for side in "ab")
    out = []
    for line in difflib.unified_diff(_lines(template.text), _lines(text), old, new):
        out.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(out)


def _header(path: str) -> str:
    """Return a path as `patch` reads it: quoted as git does where it could break the line, a tab behind blanks."""
    if any(not char.isprintable() or char in '"\\' for char in path):
        shown = "".join(char if char.isprintable() and char not in '"\\' else _octal(char) for char in path)
        return f'"{shown}"'
    return f"{path}\t" if " " in path else path


def _octal(char: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))


def _lines(text: str) -> list[str]:
    parts = text.split("\n")
    return [f"{line}\n" for line in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _patched_file(template: Template) -> str:
    """Return the path of a template's own file below the current folder, else its name."""
    place = Path(template.source.location)
    if template.source.kind == "model-folder" and template.source.member is not None:
        place /= template.source.member
    if template.source.kind in ("file", "model-folder") and place.suffix == ".jinja" and place.is_file():
        place = place.resolve()
        here = Path.cwd().resolve()
        return place.relative_to(here).as_posix() if place.is_relative_to(here) else place.name
    return f"{template.name}.jinja"


def print_repair(console: Console, result: Repair, profile: str) -> None:
    """Print the rules before and after, the shares that are right, and each fix with what became of it."""
    console.print()
    console.print(_table(result))
    console.print()
    for compared in _runs(result):
        _print_item(console, _shares(compared, profile))
    for fix in result.applied:
        _print_item(console, f"Applied {fix.name}: {fix.what}.")
    for text in result.gone:
        _print_item(console, f"No longer there: {text}.")
    for slug, (before, after) in _servers(result).items():
        _print_item(
            console,
            f"{rule(slug).code} {slug}, which only a server can prevent: {before} before, {after} after.",
        )
    if result.applied and (others := _other_profiles(result.main.after, profile)):
        _print_item(console, f"The repair follows the profile {profile}; {others}.")
    remaining = set(result.remaining)
    if not remaining:
        return
    told: set[str] = set()
    for refused in result.refused:
        rules = [name for name in refused.rules if name in remaining]
        told.update(rules)
        if rules:
            _print_item(console, f"Not applied {refused.fix}: {refused.reason}. For {', '.join(rules)}.")
    for name in result.remaining:
        if name not in told:
            known = any(name in fix.rules for fix in fixes())
            why = (
                "left by the fixes that were applied"
                if result.applied and known
                else "there is no fix for it"
            )
            _print_item(console, f"Not repaired {name}: {why}.")
    print_reference(console)


def print_reference(console: Console, where: str = "The") -> None:
    """Offer the reference template; `where` begins the sentence."""
    place = resource(*NAME.split("/"))
    say(console, f"{where} reference template renders exactly as Harmony and can stand in its place: {place}")


def _print_item(console: Console, text: str) -> None:
    """Print a sentence, its further lines indented."""
    for number, line in enumerate(Text(text).wrap(console, max(console.width - 2, 20))):
        line.rstrip()
        console.print(Text("  " if number else "").append(line), highlight=False)


def _runs(result: Repair) -> list[Compared]:
    return [result.main, *([result.proof] if result.proof is not None else [])]


def _table(result: Repair) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("\nCode", no_wrap=True)
    table.add_column("\nRule", no_wrap=True)
    runs = _runs(result)
    for compared in runs:
        table.add_column(f"seed {compared.seed}\nbefore", justify="right", no_wrap=True)
        table.add_column("\nafter", justify="right", no_wrap=True)
    counts = {slug: 0 for compared in runs for slug in compared.before.counts | compared.after.counts}
    for compared in runs:
        for slug in counts:
            counts[slug] += compared.before.counts[slug] + compared.after.counts[slug]
    for slug in sorted(counts, key=lambda slug: (-counts[slug], rule(slug).code)):
        cells = [cell for compared in runs for cell in _cells(compared, slug)]
        table.add_row(rule(slug).code, slug, *cells)
    return table


def _servers(result: Repair) -> dict[str, tuple[str, str]]:
    """Return the shares of what only servers can prevent, where a repair changes them: what was refused is written."""
    before, after = result.main.before.of_servers, result.main.after.of_servers
    total = len(result.main.before.seen)
    return {
        slug: (percent(before[slug] / total), percent(after[slug] / total))
        for slug in sorted(before | after)
        if before[slug] != after[slug]
    }


def _cells(compared: Compared, slug: str) -> tuple[Text, Text]:
    before, after = compared.before.counts[slug], compared.after.counts[slug]
    total = len(compared.before.seen)
    was = Text(percent(before / total) if before else "-", "" if before else "dim")
    if after:
        return was, Text(percent(after / total), "red")
    return was, Text("gone", "green") if before else Text("-", "dim")


def _shares(compared: Compared, profile: str) -> str:
    """Return the shares that are right before and after, under the profile asked for and under the best one."""
    return (
        f"Right with seed {compared.seed}, {len(compared.before.seen):,} conversations: "
        f"{_right(compared.before, profile)} before, {_right(compared.after, profile)} after."
    )


def _other_profiles(results: Results, profile: str) -> str:
    """Return the shares under the profiles by which a repaired template is not as right as by the one asked for."""
    shares = results.right_under()
    return ", ".join(
        f"under {name} {percent(share)} are right"
        for name, share in sorted(shares.items())
        if share < shares.get(profile, 0.0)
    )


def _right(results: Results, profile: str) -> str:
    shares = results.right_under()
    best = max(shares, key=lambda name: shares[name], default=profile)
    text = percent(shares.get(profile, 0.0))
    if shares.get(best, 0.0) > shares.get(profile, 0.0):
        text += f" ({percent(shares[best])} under {best})"
    return text
