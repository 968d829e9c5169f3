"""`python -m conformance.campaign.mutants`: plant every fault, and write the score into `reports/`."""

from conformance.campaign.mutants import run
from conformance.campaign.mutants.report import write_report
from conformance.resources import resource

if __name__ == "__main__":
    score = run()
    write_report(score, resource("reports"))
    print(f"caught {score.caught} of {score.planted}, rightly named {score.rightly_named} of {score.planted}")
