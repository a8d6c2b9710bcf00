"""Comparison of load clients against the reference server: ``make bench-client``."""
