"""The dimensions of one MoE layer, and the presets that name the published ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

from conformance.errors import UsageError

SWIGLU_ALPHA = 1.702
SWIGLU_LIMIT = 7.0


@dataclass(frozen=True)
class LayerShape:
    """Dimensions of a gpt-oss MoE layer; `hidden` and `intermediate` are multiples of 32."""

    name: str
    hidden: int
    intermediate: int
    experts: int
    top_k: int
    layers: int
    alpha: float = SWIGLU_ALPHA
    limit: float = SWIGLU_LIMIT

    @property
    def parameters(self) -> int:
        """Number of expert weights of one layer, biases not counted."""
        return self.experts * 3 * self.hidden * self.intermediate

    def with_experts(self, experts: int) -> LayerShape:
        """Return the same layer with fewer experts, for runs where their number does not matter."""
        return replace(self, experts=min(self.experts, max(experts, self.top_k)))


PRESETS = {
    # Published configuration of openai/gpt-oss-20b and -120b.
    "gpt-oss-20b": LayerShape("gpt-oss-20b", 2880, 2880, 32, 4, 24),
    "gpt-oss-120b": LayerShape("gpt-oss-120b", 2880, 2880, 128, 4, 36),
    # Different hidden and intermediate sizes, so that a transposed matrix cannot go unseen.
    "tiny": LayerShape("tiny", 128, 192, 8, 4, 4),
    # For K-quants, whose blocks are 256 long.
    "tiny-256": LayerShape("tiny-256", 256, 512, 4, 4, 4),
}


def preset(name: str) -> LayerShape:
    """Return a preset by name.

    Raises UsageError for a name that is no preset.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise UsageError(f"--preset {name!r} is not known: choose one of {', '.join(PRESETS)}") from None
