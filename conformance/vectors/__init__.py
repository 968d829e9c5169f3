"""Language-neutral test vectors: cases with the text and tokens that Harmony writes, for renderers in any language."""

from __future__ import annotations

from conformance.vectors.files import reported_cases
from conformance.vectors.model import Vector, vector_schema

__all__ = ["Vector", "reported_cases", "vector_schema"]
