"""`conformance fix`: a repaired template, what changed in it, and the proof."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from conformance.campaign.judge import DIFFERENT, EQUAL, seems_harmony
from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.cli import completion
from conformance.cli.console import new_console
from conformance.cli.fix_beside import beside, chosen, own_file
from conformance.cli.fix_report import print_diff, print_reference, print_repair
from conformance.cli.judging import validate
from conformance.cli.options import Authority, Examples, Offline, Seed, Shapes, Target
from conformance.cli.say import say
from conformance.cli.targets import obtain_authority
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, EXIT_UNJUDGED, UsageError
from conformance.fixes.repair import Repair, repair
from conformance.gguf.splice import write_gguf
from conformance.oracles.authorities import DEFAULT
from conformance.oracles.profile import Reading, setting_citations, written
from conformance.report.files import write_where_named
from conformance.rules import rule as known_rule
from conformance.sources import Template, resolve
from conformance.vectors import reported_cases

# So many conversations show which readings a template follows.
_LOOKED_AT = 500
_SHARD = re.compile(r"-00001-of-(\d{5})$")


def fix(
    target: Target,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Where the repaired template or GGUF file is written."
        ),
    ] = None,
    examples: Examples = 2000,
    seed: Seed = 0,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.profiles,
            help="Repair towards this profile. Default: the cited readings that the template follows, else harmony.",
        ),
    ] = None,
    authority: Authority = DEFAULT,
    shape: Shapes = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            metavar="RULE",
            autocompletion=completion.rules,
            help="Repair only this rule, by slug or code; repeatable.",
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which of the target's named templates. Default: the first."),
    ] = None,
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="Write the repaired template over the target's own .jinja file."),
    ] = False,
    offline: Offline = False,
) -> int:
    """Repair a template, as far as a campaign before and after proves it; only --in-place changes the target."""
    if in_place and output is not None:
        raise UsageError("--in-place and -o name two places; give one of them.")
    return run_fix(
        target,
        Settings(
            seed=seed,
            cases=examples,
            profile=profile or "harmony",
            authority=authority,
            shapes=tuple(shape or ()),
        ),
        output=output,
        offline=offline,
        console=new_console(),
        keep=profile is None,
        wanted=[known_rule(each).slug for each in rule or ()],
        name=template,
        in_place=in_place,
    )


def run_fix(
    target: str,
    settings: Settings,
    *,
    output: Path | None,
    offline: bool,
    console: Console,
    keep: bool = False,
    wanted: Collection[str] = (),
    name: str | None = None,
    in_place: bool = False,
) -> int:
    """Repair one of a target's templates, print diff and proof, write it to `output`; return the exit code.

    It is the first, or that called `name`. With `keep`, cited readings that the template follows everywhere stay; with
    `wanted` only these rules are repaired. The target itself changes `in_place` only. What is wrong besides, in the
    package or in its other templates, counts for the exit code.
    """
    validate(settings)
    settings = replace(settings, replayed=reported_cases())
    templates = resolve(target, offline=offline)
    template = chosen(templates, name)
    _check_output(target, template, output)
    if in_place:
        output = own_file(template)
    obtain_authority(settings.authority, offline=offline)
    if keep and (followed := _followed(settings, template)):
        said = ",".join(written(reading) for reading in followed)
        settings = replace(settings, profile=f"{settings.profile},{said}")
        say(
            console,
            f"{template.name} follows cited readings, which stay: {said}. `--profile harmony` repairs them away.",
        )
    with Runner(settings) as runner:
        runner.compile_check(template)
        with console.status(f"Judging {template.name}") as status:
            result = repair(
                runner,
                template.text,
                seed=settings.seed,
                cases=settings.cases,
                harmony=template.harmony,
                wanted=wanted,
                say=lambda line: status.update(line),
            )
        code, others = beside(runner, template, templates, settings)
    repaired = _told(console, template, result, output, settings)
    # The repair comes first: it is what was asked for.
    for sentence in others:
        say(console, sentence)
    return max(repaired, code)


def _told(
    console: Console, template: Template, result: Repair, output: Path | None, settings: Settings
) -> int:
    """Print what the repair came to and write it; return the exit code for this template alone."""
    before = result.main.before
    if not before.seen:
        say(console, "No conversation was judged, so nothing is known about this template.")
        return EXIT_UNJUDGED
    if not before.counts:
        count = f"{len(before.seen):,} conversations"
        say(console, f"{template.name} conforms in {count}; there is nothing to repair.")
        if output is not None and output.suffix.lower() == ".gguf":
            say(console, f"{output} was not written, since it would be the same.")
        elif output is not None:
            # Who goes on with the output finds what is right, and nothing old.
            write_where_named(output, template.text.encode("utf-8"))
            say(console, f"Wrote {output}, unchanged")
        return EXIT_CONFORMS
    if not (before.is_harmony if template.harmony is None else template.harmony):
        say(console, f"{template.name} does not write Harmony, so there is nothing to repair it towards.")
        print_reference(console, "Where the model is gpt-oss after all, the")
        if output is not None:
            say(console, f"{output} was not written.")
        return EXIT_DIVERGES
    changed = result.text != template.text
    if changed:
        print_diff(console, template, result.text)
    print_repair(console, result, settings.profile)
    if changed and output is not None:
        with console.status(f"Writing {output}"):
            _write(template, result.text, output)
        say(console, f"Wrote {output}")
    elif output is not None:
        say(console, f"{output} was not written, since no fix could be proven.")
    return EXIT_DIVERGES if result.remaining else EXIT_CONFORMS


def _followed(settings: Settings, template: Template) -> list[Reading]:
    """Return the cited readings, one a setting, that explain rules of a template wherever these show."""
    with Runner(settings) as runner:
        runner.compile_check(template)
        tally = runner.run([template], 0, min(settings.cases, _LOOKED_AT)).tallies[0]
    rendered = tally.counts[EQUAL] + tally.counts[DIFFERENT]
    if template.harmony is False or not seems_harmony(rendered, tally.familiar):
        return []
    readings: dict[str, set[str]] = {}
    for rule in tally.rules.values():
        values: dict[str, set[str]] = {}
        for setting, value in rule.explained:
            values.setdefault(setting, set()).add(value)
        for setting, explaining in values.items():
            readings[setting] = readings.get(setting, explaining) & explaining
    return [
        (setting, next(value for value in setting_citations()[setting] if value in left))
        for setting, left in sorted(readings.items())
        if left
    ]


def _check_output(target: str, template: Template, output: Path | None) -> None:
    """Refuse at once what would fail after the work; raises UsageError."""
    if output is None:
        return
    if output.is_dir():
        raise UsageError(f"{output} is a folder; name a file with -o")
    if output.exists() and not output.is_file():
        raise UsageError(f"{output} is no regular file; name another with -o")
    if not output.absolute().parent.is_dir():
        raise UsageError(
            f"there is no folder {output.absolute().parent}; make it, or name another file with -o"
        )
    if any(_belongs(output, Path(place)) for place in (target, template.source.location)):
        raise UsageError(f"{output} belongs to the target, which is never changed; name another with -o")
    if output.suffix.lower() != ".gguf":
        return
    if template.source.kind != "gguf":
        raise UsageError(f"{template.name} does not come from a GGUF file; name a .jinja file with -o")
    if output.exists():
        raise UsageError(f"{output} is there already; name a new file with -o, or remove that one")
    shard = _SHARD.search(Path(template.source.location).stem)
    if shard is not None and not output.stem.endswith(shard[0]):
        raise UsageError(
            f"the template is in the first of {int(shard[1])} shards; name a file ending in {shard[0]}.gguf with -o, "
            "which can stand beside copies of the others"
        )


def _belongs(output: Path, place: Path) -> bool:
    """Return whether a file is the target itself, or lies in a target that is a folder."""
    if not place.exists():
        return False
    if place.is_dir():
        return output.resolve().is_relative_to(place.resolve())
    return output.exists() and output.samefile(place)


def _write(template: Template, text: str, output: Path) -> None:
    if output.suffix.lower() == ".gguf":
        assert template.source.member is not None
        write_gguf(Path(template.source.location), output, template.source.member, text)
    else:
        write_where_named(output, text.encode("utf-8"))
