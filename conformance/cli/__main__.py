"""`python -m conformance.cli` is `conformance`."""

from conformance.cli.app import main

main()
