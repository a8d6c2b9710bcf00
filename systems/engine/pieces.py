"""Pieces of prompts: what one pass computes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """The prompt tokens ``ids`` for positions ``start`` … of ``slot``. ``final``: whether the
    prompt ends with them."""

    slot: int
    start: int
    ids: tuple[int, ...]
    final: bool

    @classmethod
    def of(cls, slot: int, prompt: tuple[int, ...], start: int, most: int) -> Piece:
        """Return the piece of ``prompt`` from ``start``, at most ``most`` tokens."""
        stop = min(start + most, len(prompt))
        return cls(slot, start, prompt[start:stop], stop == len(prompt))

    @property
    def stop(self) -> int:
        return self.start + len(self.ids)

    @property
    def whole(self) -> bool:
        """Whether this is all of a prompt."""
        return self.start == 0 and self.final


def last_rows(pieces: Sequence[Piece]) -> list[int]:
    """Return the rows of the prompts' last tokens, where ``pieces`` are concatenated."""
    rows, stop = [], 0
    for piece in pieces:
        stop += len(piece.ids)
        if piece.final:
            rows.append(stop - 1)
    return rows
