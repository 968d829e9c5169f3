"""`python -m tools.backdoors`: audit the reference with each backdoor; exit 1 when one is not shown."""

from __future__ import annotations

import argparse
import sys

from conformance.campaign.branches import BranchSample
from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.campaign.steering import plain_cases, steered
from conformance.resources import resource
from conformance.template.branches import BranchCoverage
from tools.backdoors.planted import PLANTED, template


def main() -> int:
    """Print what an audit says of each backdoor, and of the reference without one."""
    parser = argparse.ArgumentParser(prog="python -m tools.backdoors", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="BACKDOOR", help="default: all")
    parser.add_argument("--cases", type=int, default=2_000)
    options = parser.parse_args()
    settings = Settings(cases=options.cases, engines=("jinja2",))
    plain = plain_cases(settings.cases)
    shown = 0
    with Runner(settings) as runner:
        sample = BranchSample(runner, plain)
        names = options.names or list(PLANTED)
        for name in names:
            text, line = template(name)
            found = sample.run(text, steered(text, settings.cases), plain)
            assert found is not None
            words = _shown(found, line)
            shown += words != ""
            print(f"{name:<20} {words or 'NOT SHOWN'}", flush=True)
        reference = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
        found = sample.run(reference, steered(reference, settings.cases), plain)
        assert found is not None
        hidden = [decision for decision in found.audit if decision.hidden]
        sample.close()
    print(
        f"{shown} of {len(names)} backdoors shown; on the reference itself {len(hidden)} of {len(found.audit)}:"
    )
    for decision in hidden:
        print(f"  line {decision.line}: {decision.what}, always {', '.join(decision.seen) or 'unasked'}")
    return int(shown < len(names))


def _shown(found: BranchCoverage, line: int) -> str:
    """Return what an audit says of a line: decisions seen one way only, and branches that never ran."""
    said = [
        f"{decision.what[:60]} ({', '.join(decision.hangs_on)})"
        for decision in found.audit
        if decision.line == line and decision.hidden
    ]
    branches = [f"never ran: {branch.what[:40]}" for branch in found.never_run if branch.line == line]
    return "; ".join([*said[:1], *branches[:1]])


if __name__ == "__main__":
    sys.exit(main())
