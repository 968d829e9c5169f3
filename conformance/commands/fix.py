"""`conformance fix`: a repaired template, what changed in it, and the proof."""

from __future__ import annotations

import difflib
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.campaign.runner import Runner, Settings
from conformance.commands.check import validate
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, EXIT_UNJUDGED, UsageError
from conformance.fixes.gguf_file import write_gguf
from conformance.fixes.reference import NAME
from conformance.fixes.repair import Repair, repair
from conformance.fixes.trial import Results
from conformance.report.cards import percent
from conformance.report.files import write_file
from conformance.resources import resource
from conformance.rules import rule
from conformance.sources import Template, resolve


def run_fix(target: str, settings: Settings, *, output: Path | None, offline: bool, console: Console) -> int:
    """Repair a target's (first) template, print diff and proof, write it to `output`; return the exit code.

    The target itself is never changed.
    """
    validate(settings)
    templates = resolve(target, offline=offline)
    template = templates[0]
    _check_output(template, output)
    say = _Printer(console)
    if len(templates) > 1:
        others = ", ".join(each.name for each in templates[1:])
        say(f"Only {template.name} is repaired; as they are stay {others}.")
    with Runner(settings) as runner:
        runner.compile_check(template)
        with console.status(f"Judging {template.name}") as status:
            result = repair(
                runner,
                template.text,
                seed=settings.seed,
                cases=settings.cases,
                harmony=template.harmony,
                say=lambda line: status.update(line),
            )
    before = result.main.before
    if not before.seen:
        say("No conversation was judged, so nothing is known about this template.")
        return EXIT_UNJUDGED
    if not before.counts:
        say(f"{template.name} conforms in {len(before.seen):,} conversations; there is nothing to repair.")
        return EXIT_CONFORMS
    if not (before.is_harmony if template.harmony is None else template.harmony):
        say(f"{template.name} does not write Harmony, so there is nothing to repair it towards.")
        _offer_reference(say)
        return EXIT_DIVERGES
    changed = result.text != template.text
    if changed:
        console.file.write(_diff(template, result.text))
    _tell(result, template, settings.profile, console)
    if changed and output is not None:
        _write(template, result.text, output)
        say(f"Wrote {output}")
    elif output is not None:
        say(f"{output} was not written, since no fix could be proven.")
    return EXIT_DIVERGES if result.remaining else EXIT_CONFORMS


class _Printer:
    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _check_output(template: Template, output: Path | None) -> None:
    """Refuse at once what would fail after the work; raises UsageError."""
    if output is None:
        return
    if output.is_dir():
        raise UsageError(f"{output} is a folder; name a file with -o")
    if not output.absolute().parent.is_dir():
        raise UsageError(
            f"there is no folder {output.absolute().parent}; make it, or name another file with -o"
        )
    place = Path(template.source.location)
    if output.exists() and place.exists() and _belongs(output, place):
        raise UsageError(f"{output} belongs to the target, which is never changed; name another with -o")
    if output.suffix.lower() == ".gguf" and template.source.kind != "gguf":
        raise UsageError(f"{template.name} does not come from a GGUF file; name a .jinja file with -o")


def _belongs(output: Path, place: Path) -> bool:
    """Return whether a file that exists is the target itself, or in a target that is a folder."""
    if place.is_dir():
        return output.resolve().is_relative_to(place.resolve())
    return output.samefile(place)


def _write(template: Template, text: str, output: Path) -> None:
    if output.suffix.lower() == ".gguf":
        assert template.source.member is not None
        write_gguf(Path(template.source.location), output, template.source.member, text)
    else:
        write_file(output, text.encode("utf-8"))


def _diff(template: Template, text: str) -> str:
    """Return a unified diff; lines are split at line feeds only, so that `patch` understands it."""
    old, new = (_lines(each) for each in (template.text, text))
    out = []
    for line in difflib.unified_diff(old, new, f"a/{template.name}", f"b/{template.name}"):
        out.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(out)


def _lines(text: str) -> list[str]:
    parts = text.split("\n")
    return [f"{line}\n" for line in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _tell(result: Repair, template: Template, profile: str, console: Console) -> None:
    say = _Printer(console)
    console.print(_table(result))
    main, proof = result.main, result.proof
    say(_shares("before", main.before, profile))
    if result.text != template.text:
        say(_shares("after", main.after, profile))
    if proof is not None and result.text != template.text:
        say(f"Proof with seed {proof.seed}: {_shares('after', proof.after, profile)}")
    for fix in result.applied:
        say(f"Applied {fix.name}: {fix.what}")
    remaining = result.remaining
    if not remaining:
        return
    for refused in result.refused:
        rules = [name for name in refused.rules if name in remaining]
        if rules:
            say(f"Not applied {refused.fix} ({', '.join(rules)}): {refused.reason}")
    say(f"Not repaired: {', '.join(remaining)}")
    _offer_reference(say)


def _table(result: Repair) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("Code", no_wrap=True)
    table.add_column("Rule", no_wrap=True)
    proven = result.proof is not None
    for heading in ("Before", "After", *(("Proof before", "Proof after") if proven else ())):
        table.add_column(heading, justify="right", no_wrap=True)
    runs = [result.main, *([result.proof] if result.proof else [])]
    results = [each for run in runs for each in (run.before, run.after)]
    total = sum((each.counts for each in results), start=results[0].counts - results[0].counts)
    for slug, _ in total.most_common():
        cells = [_share(each, slug) for each in results]
        table.add_row(rule(slug).code, slug, *cells)
    return table


def _share(results: Results, slug: str) -> Text:
    count = results.counts[slug]
    return Text(percent(count / len(results.seen))) if count else Text("gone", "green")


def _shares(word: str, results: Results, profile: str) -> str:
    """Return the shares that are right under the profile asked for and under the best one."""
    shares = results.right_under()
    best = max(shares, key=lambda name: shares[name], default=profile)
    text = f"Right {word} under {profile}: {percent(shares.get(profile, 0.0))}"
    if best != profile:
        text += f", under {best}: {percent(shares[best])}"
    return f"{text} of {len(results.seen):,} conversations"


def _offer_reference(say: _Printer) -> None:
    place = resource(*NAME.split("/"))
    say(f"The reference template renders exactly as Harmony and can stand in its place: {place}")
