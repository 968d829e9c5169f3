"""Reports: one model, several writers."""
