"""An example: one addition of every kind to `conformance`."""
