"""Number formats: floats, MXFP4, and the published layouts of its bytes."""
