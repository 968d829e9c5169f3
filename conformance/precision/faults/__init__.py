"""Planted faults: wrong MoE layers that the error model must catch, and harmless variants that it must not."""
