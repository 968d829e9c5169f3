"""Runs of `conformance check` whose processes are killed and stopped at random, and what became of the runs."""
