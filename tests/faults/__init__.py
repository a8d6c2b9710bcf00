"""Faults at seeded moments, bad input, endurance and neighbours: how each is inflicted, what is
checked after it, and the records that RELIABILITY.md is made of."""
