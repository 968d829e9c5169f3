"""Fuzzing of every reader: a file mutated in some way is read, or refused in one sentence; nothing else may happen."""
