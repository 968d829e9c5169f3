"""Campaigns: many cases over targets, engines and shapes, counted and reported."""
