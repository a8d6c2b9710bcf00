"""Lengths of ServeGen's clients: the probability of each token count, by window of some hours."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import WorkloadError
from .bad_rows import quoted
from .servegen_archive import members

_DATASET = re.compile(r"(?:data/)?(?P<pool>.*?)/?chunk-(?P<client>[0-9]{1,6})-dataset\.json")

Ints = np.ndarray[Any, np.dtype[np.int32]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Choice:
    """Token counts and their probabilities."""

    tokens: Ints
    probabilities: Floats

    def draw(self, random: np.random.Generator, count: int) -> Ints:
        return np.asarray(random.choice(self.tokens, size=count, p=self.probabilities))


@dataclass(frozen=True)
class ClientLengths:
    """Windows with lengths, by start. A request uses the last window that has begun, or the first.
    Prompt and output are independent: the source has no joint distribution."""

    starts_s: Floats
    prompt: tuple[Choice, ...]
    output: tuple[Choice, ...]

    def draw(self, random: np.random.Generator, at_s: Floats) -> tuple[Ints, Ints]:
        """Draw lengths for requests at these times."""
        window = np.maximum(np.searchsorted(self.starts_s, at_s, side="right") - 1, 0)
        prompt, output = np.ones((2, len(at_s)), dtype=np.int32)
        for index in np.unique(window):
            mine = window == index
            prompt[mine] = self.prompt[index].draw(random, int(mine.sum()))
            output[mine] = self.output[index].draw(random, int(mine.sum()))
        return prompt, output


def read_lengths(path: Path, part: str) -> dict[str, ClientLengths]:
    """Return lengths by client, from the archive itself or the pool's own next to it; empty if
    neither has any."""
    beside = path.with_name(f"{part.rsplit('/', 1)[-1]}_dataset_json.tar.xz")
    found: dict[str, ClientLengths] = {}
    for place in (path, beside):
        if found or not place.is_file():
            continue
        for name, data in members(place, _DATASET):
            match = _DATASET.fullmatch(name)
            if match and (not part or match["pool"] == part):
                lengths = _client(place, name, data)
                found |= {f"client-{match['client']}": lengths} if lengths else {}
    return found


def _client(path: Path, name: str, data: bytes) -> ClientLengths | None:
    try:
        windows = sorted((float(start), about) for start, about in json.loads(data).items())
        both = [
            (start, _choice(about["input_tokens"]), _choice(about["output_tokens"]))
            for start, about in windows
        ]
    except (ValueError, TypeError, KeyError, AttributeError, SyntaxError, RecursionError) as error:
        raise WorkloadError(f"{path}: {quoted(name)} contains no lengths") from error
    told = [(start, prompt, output) for start, prompt, output in both if prompt and output]
    if not told:
        return None
    starts, prompts, outputs = zip(*told, strict=True)
    return ClientLengths(np.array(starts), prompts, outputs)


def _choice(text: str) -> Choice | None:
    """Parse a dictionary in Python syntax; None if it is empty."""
    table: Mapping[int, float] = ast.literal_eval(text)
    if not table:
        return None
    tokens = np.maximum(np.array(list(table), dtype=np.int32), 1)
    weights = np.array(list(table.values()), dtype=np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum():
        raise ValueError("probabilities must be positive")
    return Choice(tokens, weights / weights.sum())
