"""Prompts as token ids, so that a server sees exactly the wanted lengths."""

from __future__ import annotations

from typing import Any

import numpy as np

from .streams import stream

RESERVED = 64
"""Ids below this are left out: tokenizers keep their special tokens first."""


def prompt_ids(
    seed: int, request_id: int, length: int, vocab_size: int, *, reserved: int = RESERVED
) -> np.ndarray[Any, np.dtype[np.int32]]:
    """``length`` ids drawn uniformly from [reserved, vocab_size), keyed by the request alone."""
    draws = stream(seed, "prompt", request_id).integers(
        min(reserved, vocab_size // 2), vocab_size, size=length, dtype=np.int32
    )
    return np.asarray(draws, dtype=np.int32)
