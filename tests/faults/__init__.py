"""Reliability tests: fault injection at seeded moments, bad input, endurance and noisy neighbours.
Each module injects and checks; RELIABILITY.md is generated from the records that they write."""
