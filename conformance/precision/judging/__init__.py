"""From numbers to verdicts: the error model, the examination of a path, and what formats alone imply."""
