"""The rows of a source by column, independent of its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..trace import TraceFunction

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """One entry per row, in the file's order; ``extra`` holds optional columns of a workload."""

    lines: Ints
    at_ns: Ints
    owners: Ints
    """Index of each row's function in ``functions``."""
    functions: tuple[TraceFunction, ...]
    prompt_tokens: Ints
    output_tokens: Ints
    extra: Mapping[str, pa.Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, which: Ints) -> Rows:
        """Return these rows in this order, with only their functions."""
        owners, left = self.owners[which], np.unique(self.owners[which])
        return Rows(
            self.lines[which],
            self.at_ns[which],
            np.searchsorted(left, owners),
            tuple(self.functions[index] for index in left),
            self.prompt_tokens[which],
            self.output_tokens[which],
            {name: values.take(pa.array(which)) for name, values in self.extra.items()},
        )


def named(names: Sequence[str]) -> tuple[Ints, tuple[TraceFunction, ...]]:
    """Owners and functions of a column of names; functions by first appearance."""
    encoded = pa.array(names, type=pa.string()).dictionary_encode()
    functions = tuple(TraceFunction(id=name) for name in encoded.dictionary.to_pylist())
    return np.array(encoded.indices, dtype=np.int64), functions
