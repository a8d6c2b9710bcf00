"""Bad input: bytes, files and requests that nobody should send, and what became of them.

``python -m tests.faults.fuzz --examples N --seed S --out FILE`` tries N of each kind."""
