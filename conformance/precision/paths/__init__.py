"""Implementations under test: each is one precision path of the MoE layer."""
