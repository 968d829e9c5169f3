"""Does an MoE forward pass, in this precision and on this device, compute what the weights say?

Import order, one direction: words (shape, verdicts, floats) -> formats (mx, layouts, weights) -> regimes ->
reference, variance -> judge -> paths -> examine -> run -> report, tables, terminal, plots -> cli. Nothing here imports
the rest of the package but its errors, because GPU machines often lack its dependencies.
"""
