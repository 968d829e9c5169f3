"""`python -m tools.mutate`: mutate the reference and public templates, and write the score into `reports/`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from conformance.resources import resource
from tools.mutate.report import scored, write_report
from tools.mutate.score import Result, run
from tools.mutate.templates import REFERENCE, TEMPLATES, template_text

# Of five parts the reference gets two: only there every region can be judged.
_PARTS = {REFERENCE: 2}
_OFTEN = 50


def main() -> None:
    """Run what the command line asks for."""
    options = argparse.ArgumentParser(prog="python -m tools.mutate", description=__doc__)
    options.add_argument("--mutants", type=int, default=500, help="distinguishable mutants (default 500)")
    options.add_argument("--template", action="append", help="of these alone; the report of the others stays")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--seconds", type=float, help="for each template: what was scored by then counts")
    options.add_argument("--more", action="store_true", help="go on after the mutants that the report has")
    options.add_argument("--output", type=Path, default=resource("reports"))
    options.add_argument("--name", action="append", help="show these mutants only, in full; repeatable")
    given = options.parse_args()
    names = given.template or list(TEMPLATES)
    texts = {name: template_text(name) for name in names}
    whole = sum(_PARTS.get(name, 1) for name in TEMPLATES)
    wanted = {name: given.mutants * _PARTS.get(name, 1) // whole for name in names}
    if given.name:
        wanted = dict.fromkeys(names, sys.maxsize)
    results: list[Result] = []
    known = scored(given.output, given.seed) if given.more else set()

    def tell(result: Result) -> None:
        results.append(result)
        if given.name:
            _in_full(result)
        else:
            _in_brief(result)
            # Half an hour is long: what is known stands in the report before the end.
            if len(results) % _OFTEN == 0:
                write_report(results, given.output, seed=given.seed, more=given.more)

    run(texts, wanted, seed=given.seed, only=given.name, on_result=tell, seconds=given.seconds, known=known)
    if not given.name:
        write_report(results, given.output, seed=given.seed, more=given.more)


def _in_brief(result: Result) -> None:
    marks = [
        mark if good else "-"
        for mark, good in (("caught", result.caught), ("named", result.named), ("line", result.located))
    ]
    told = " ".join(marks) if result.distinguishable else "equivalent"
    print(f"{result.template} {result.edit.name}: {told}", flush=True)


def _in_full(result: Result) -> None:
    _in_brief(result)
    print(f"  right {dict(result.right)}  wrong {dict(result.wrong)}")
    print(f"  block {result.edit.block}  shown lines {result.lines}  new text {result.edit.text!r}")
    for one in result.shown[:5]:
        print(f"  found {sorted(one.new)}\n    expected {sorted(one.expected)}")
        for found in one.new.values():
            if found.difference is not None:
                print(f"    {found.rule}: {found.difference.expected!r}\n      {found.difference.actual!r}")


if __name__ == "__main__":
    main()
