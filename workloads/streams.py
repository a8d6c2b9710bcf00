"""Random streams with keys, so that adding a function or a worker changes no other stream."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return a generator that depends only on ``seed`` and the names, the same on every machine.

    The key is the BLAKE2b digest of seed and names, so that streams of similar seeds or names are
    independent (Philox is counter-based: distinct keys give distinct sequences).
    """
    text = "\x1f".join(str(part) for part in (seed, *names))
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
