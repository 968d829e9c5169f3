"""`python -m tools.mutants`: plant every fault, and write the score into `reports/`."""

from conformance.resources import resource
from tools.mutants import run
from tools.mutants.report import write_report

if __name__ == "__main__":
    score = run()
    write_report(score, resource("reports"))
    print(f"caught {score.caught} of {score.planted}, rightly named {score.rightly_named} of {score.planted}")
