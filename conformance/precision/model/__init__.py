"""The MoE layer: its dimensions, weights, reference, inputs, and what a path declares of its roundings."""
