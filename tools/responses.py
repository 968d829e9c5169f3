"""`python -m tools.responses`: judge the reference response template on many steps, into `reports/responses.json`."""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

from conformance.resources import resource
from conformance.responses.judge import judge

TEMPLATE = "gpt-oss-response.json"


def main() -> None:
    """Run what the command line asks for."""
    options = argparse.ArgumentParser(prog="python -m tools.responses", description=__doc__)
    options.add_argument("--steps", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--template", type=Path, default=resource("templates", TEMPLATE))
    options.add_argument("--output", type=Path, default=resource("reports"))
    given = options.parse_args()
    tally = judge(json.loads(given.template.read_text(encoding="utf-8")), given.steps, seed=given.seed)
    record = {
        "schema": "conformance-responses/1",
        "template": given.template.name,
        "transformers": version("transformers"),
        "openai-harmony": version("openai-harmony"),
        "seed": given.seed,
        "steps": tally.judged,
        "right": tally.right,
        "faults": tally.faults,
        "cannot_be_said": tally.untold,
        "shortest": {
            slug: {"step": step.name, "written": step.written, "said": fault.said, "parsed": fault.parsed}
            for slug, (step, fault) in tally.shortest.items()
        },
    }
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (given.output / "responses.json").write_text(text + "\n", encoding="utf-8")
    print(
        f"{tally.right} of {tally.judged} steps come back whole; {sum(tally.untold.values())} cannot be said"
    )


if __name__ == "__main__":
    main()
