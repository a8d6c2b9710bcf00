"""Fuzzing with invalid bytes, files and requests, and counts of how each was handled.

``python -m tests.faults.fuzz --examples N --seed S --out FILE`` tries N of each kind."""
