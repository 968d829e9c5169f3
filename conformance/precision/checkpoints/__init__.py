"""Checkpoints read from safetensors and GGUF, and compared."""
