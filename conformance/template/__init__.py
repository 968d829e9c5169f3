"""All that reads a template's source: parts and marks, lines and branches, and what the template waits for."""
