"""Oracles: the authority on what a prompt should be. Harmony is the only one for gpt-oss."""
