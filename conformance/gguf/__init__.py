"""GGUF files: their metadata and tensors by a small bounded reader, and copies with another template.

Needs the standard library only, so that the precision track can use it.
"""
