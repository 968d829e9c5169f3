"""Comparison: find where a template's text parts from the oracle's, region by region."""
