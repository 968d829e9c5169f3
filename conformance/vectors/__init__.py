"""Language-neutral test vectors: cases with the text and tokens that Harmony writes, for renderers in any language."""

from __future__ import annotations

from conformance.vectors.files import replay_cases
from conformance.vectors.model import Vector, vector_schema

__all__ = ["Vector", "replay_cases", "vector_schema"]
