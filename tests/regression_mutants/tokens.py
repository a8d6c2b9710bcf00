"""Rule 7: the server's token count is used, and ITL is measured between tokens, not chunks."""

from __future__ import annotations

import dataclasses

import numpy as np

from harness.replay.frames import Captured
from harness.replay.records import Record

from .mutant import Mutant
from .playback import play
from .streams import Reader, agrees, ours


def counts_chunks(captured: Captured) -> Record:
    chunks = sum(b'"text":' in chunk for chunk in captured.chunks)
    return dataclasses.replace(ours(captured), output_tokens=chunks)


def counts_what_was_asked_for(captured: Captured) -> Record:
    return dataclasses.replace(ours(captured), output_tokens=6)


def has_a_gap_for_every_token(reader: Reader) -> None:
    captured, expected = play("ref.pack-3")
    assert reader(captured).itl_ns == np.diff(expected.token_ns).tolist()


def gaps_between_chunks(captured: Captured) -> Record:
    gaps = [gap for gap in ours(captured).itl_ns or [] if gap]
    return dataclasses.replace(ours(captured), itl_ns=gaps)


def admits_that_gaps_are_unknown(reader: Reader) -> None:
    """With several tokens per chunk and no token ids, the gaps between tokens are unknown."""
    captured, _ = play("ref.pack-3.no-ids")
    assert reader(captured).itl_ns is None


def takes_chunks_for_tokens(captured: Captured) -> Record:
    return dataclasses.replace(ours(captured), itl_ns=np.diff(captured.times).tolist())


def leaves_the_count_open(reader: Reader) -> None:
    """Without usage and token ids, the number of tokens is unknown."""
    captured, _ = play("ref.no-ids.no-usage")
    assert reader(captured).output_tokens is None


EXHIBITS = [
    Mutant(7, "chunks counted as tokens", agrees("ref.pack-4"), ours, counts_chunks),
    Mutant(7, "tokens asked for counted as given", agrees("ref.short-3"), ours,
            counts_what_was_asked_for),
    Mutant(7, "ITL per chunk", has_a_gap_for_every_token, ours, gaps_between_chunks),
    Mutant(7, "ITL invented", admits_that_gaps_are_unknown, ours, takes_chunks_for_tokens),
    Mutant(7, "chunks stand in for a missing count", leaves_the_count_open, ours, counts_chunks),
]  # fmt: skip
