"""Which of a target's templates is repaired and where it lies, and what a repair of it leaves wrong beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, UsageError
from conformance.fixes.repair import TRIALS
from conformance.fixes.trial import Trials
from conformance.package_checks import examine
from conformance.sources import Template


def chosen(templates: Sequence[Template], name: str | None) -> Template:
    """Return the template of this name, whole or behind its model's; raises UsageError where there is none."""
    if name is None:
        return templates[0]
    found = [each for each in templates if each.name == name or each.name.endswith(f"#{name}")]
    if len(found) != 1:
        known = ", ".join(each.name for each in templates)
        raise UsageError(f"the target has no template {name!r}; it has {known}")
    return found[0]


def own_file(template: Template) -> Path:
    """Return the .jinja file that holds a template; raises UsageError where there is none of its own."""
    place = Path(template.source.location)
    if template.source.kind == "model-folder" and template.source.member is not None:
        # Behind # stands what the folder calls it.
        place /= template.source.member.partition("#")[0]
    if (
        template.source.kind not in ("file", "model-folder")
        or place.suffix != ".jinja"
        or not place.is_file()
    ):
        raise UsageError(f"{template.name} has no .jinja file of its own to write over; name a file with -o")
    return place


def beside(
    runner: Runner, template: Template, templates: Sequence[Template], settings: Settings
) -> tuple[int, list[str]]:
    """Return what else is wrong with the target, which the repair of one template leaves: exit code and sentences."""
    code, said = EXIT_CONFORMS, list[str]()
    for finding in (each for found in examine(templates).values() for each in found):
        if finding.checked and finding.severity != "note":
            said.append(f"Not repaired {finding.code} {finding.rule}: {finding.where}: {finding.message}")
            code = EXIT_DIVERGES
    for other in (each for each in templates if each is not template):
        same = other.sha256 == template.sha256
        wrong = not same and _wrong(runner, other, settings)
        state = "has the same text" if same else "stays wrong" if wrong else "conforms"
        said.append(f"Only {template.name} is repaired. {other.name} {state}; `--template` chooses it.")
        code = EXIT_DIVERGES if wrong else code
    return code, said


def _wrong(runner: Runner, template: Template, settings: Settings) -> bool:
    """Return whether a template shows any rule, in as many conversations as trials take."""
    try:
        runner.compile_check(template)
    except UsageError:
        return True
    trials = Trials.drawn(runner, settings.seed, min(settings.cases, TRIALS), template.text)
    return bool(trials.judge(template.text).counts)
