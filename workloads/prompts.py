"""Prompts as token ids, so that a server receives exactly the requested lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .streams import Streams, stream
from .trace import Workload

RESERVED = 64
"""Smaller ids are not used: tokenizers begin with their special tokens."""

Ids = np.ndarray[Any, np.dtype[np.int32]]


def prompt_ids(
    seed: int, request_id: int, length: int, vocab_size: int, *, reserved: int = RESERVED
) -> Ids:
    """Draw ``length`` ids uniformly from [reserved, vocab_size); depends only on the arguments."""
    return _draw(stream(seed, "prompt", request_id), length, vocab_size, reserved)


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Shared prefixes of requests: ``hashes`` of each request's blocks of ``block_tokens``, as
    published by Mooncake and Qwen-Bailian. Equal hashes give equal tokens."""

    hashes: Sequence[Sequence[int] | None]
    block_tokens: int

    @classmethod
    def of(cls, workload: Workload) -> Prefixes | None:
        """Return the prefixes of a workload, if its source has them."""
        if "prefix_hashes" not in workload.requests.column_names:
            return None
        steps = [step.parameters.get("block_tokens") for step in workload.provenance.transforms]
        known = [int(tokens) for tokens in steps if tokens]
        hashes = workload.requests["prefix_hashes"].to_pylist()
        return cls(hashes, known[0]) if known else None

    def ids(
        self, seed: int, row: int, length: int, vocab_size: int, *, reserved: int = RESERVED
    ) -> Ids:
        """Return the prefix of the prompt in that row: at most ``length`` ids."""
        wanted = -(-length // self.block_tokens)
        blocks = [
            _draw(stream(seed, "prefix", each), self.block_tokens, vocab_size, reserved)
            for each in (self.hashes[row] or ())[:wanted]
        ]
        return np.concatenate(blocks)[:length] if blocks else np.empty(0, dtype=np.int32)


def prompts(workload: Workload, seed: int, vocab_size: int) -> list[Ids]:
    """Return the prompt of each request, in order. Parts that are not shared depend only on
    ``seed``, the request's id and the length."""
    requests = workload.requests
    prefixes = Prefixes.of(workload)
    streams = Streams()
    pairs = zip(requests["id"].to_pylist(), requests["prompt_tokens"].to_pylist(), strict=True)
    found = [
        _draw(streams.stream(seed, "prompt", request), length, vocab_size, RESERVED)
        for request, length in pairs
    ]
    if prefixes:
        for row, own in enumerate(found):
            shared = prefixes.ids(seed, row, len(own), vocab_size)
            own[: len(shared)] = shared
    return found


def _draw(draws: np.random.Generator, length: int, vocab_size: int, reserved: int) -> Ids:
    """Draw ids from the start of a stream."""
    low = min(reserved, vocab_size // 2)
    return draws.integers(low, vocab_size, size=length, dtype=np.int32)
