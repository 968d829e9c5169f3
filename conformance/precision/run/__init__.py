"""Runs: of all paths, of the planted faults, and of the clock."""
