"""Programs that make the prompt themselves: one line of JSON in, one line out."""
