"""Audit one template: the cases of a campaign are run, not judged, and what its decisions came to is noted."""

from __future__ import annotations

from conformance.campaign.branches import BranchSample
from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.campaign.steering import plain_cases, steered
from conformance.errors import UnjudgedError
from conformance.sources import Template
from conformance.template.branches import BranchCoverage


def audit(runner: Runner, template: Template, settings: Settings) -> BranchCoverage:
    """Return what the branches and decisions of a template came to in a sample of a campaign's cases.

    Raises UsageError when it does not compile, UnjudgedError when nothing can be noted.
    """
    runner.compile_check(template)
    plain = plain_cases(settings.cases)
    sample = BranchSample(runner, plain)
    try:
        hints = sample.aim(template.text, steered(template.text, settings.cases), plain)
        found = sample.run(template.text, hints, plain)
    finally:
        sample.close()
    if found is None:
        raise UnjudgedError(
            f"The decisions of {template.name} could not be noted; `conformance check` says why."
        )
    return found
