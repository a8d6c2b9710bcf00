"""Prompts of real text for servers that take no token ids: sentences drawn at random, cut to the
wanted number of tokens, which the backbone's own tokenizer counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Protocol

import pyarrow as pa

from workloads.streams import stream

from .schedule import TEXT, Schedule

_TRIES = 8


class Tokenizer(Protocol):
    """A backbone's tokenizer."""

    def encode(self, text: str, *, special: bool = True) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...


@cache
def sentences() -> tuple[str, ...]:
    """Return the sentences; works in the public domain."""
    text = (files("harness.replay") / "sentences.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def with_texts(schedule: Schedule, seed: int, tokenizer_of: Callable[[str], Tokenizer]) -> Schedule:
    """Return the schedule with prompts of text and their token ids. ``tokenizer_of``: by function.
    A text depends on ``seed``, the request's id, its length and the tokenizer. Where no cut of the
    sentences gives the exact length, it is the nearest one below."""
    table = schedule.table.select(["request_id", "function_id", "prompt_ids"])
    found = [
        _text(seed, row["request_id"], len(row["prompt_ids"]), tokenizer_of(row["function_id"]))
        for row in table.to_pylist()
    ]
    columns: Mapping[str, pa.Array] = {
        "prompt_ids": pa.array([ids for _, ids in found], pa.list_(pa.int32())),
        "output_tokens": schedule.table["output_tokens"],
        TEXT.name: pa.array([text for text, _ in found], TEXT.type),
    }
    kept = schedule.table.select(["request_id", "scheduled_ns", "function_id"])
    for name, column in columns.items():
        kept = kept.append_column(name, column)
    return Schedule(kept)


def _text(seed: int, request: int, length: int, tokenizer: Tokenizer) -> tuple[str, list[int]]:
    draws = stream(seed, "text", request)
    text, ids = "", list[int]()
    while len(ids) < length:
        text += (" " if text else "") + sentences()[draws.integers(len(sentences()))]
        ids = tokenizer.encode(text, special=False)
    return _cut(ids, length, tokenizer)


def _cut(ids: list[int], length: int, tokenizer: Tokenizer) -> tuple[str, list[int]]:
    """Return the longest beginning that the tokenizer counts as at most ``length`` tokens: a cut
    within a word may be split otherwise than the word was."""
    best = tokenizer.decode(ids[:1]), ids[:1]
    for kept in range(length, max(length - _TRIES, 0), -1):
        text = tokenizer.decode(ids[:kept])
        counted = tokenizer.encode(text, special=False)
        if len(counted) == length:
            return text, counted
        if len(best[1]) < len(counted) < length:
            best = text, counted
    return best
