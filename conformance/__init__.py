"""Conformance suite for gpt-oss: chat templates against Harmony, MoE precision against fp32."""

__version__ = "0.1.0"
