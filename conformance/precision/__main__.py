"""`python -m conformance.precision`: the precision track without the rest of the package's dependencies."""

from conformance.precision.cli import main

if __name__ == "__main__":
    main()
