"""The size of a packed adapter (:mod:`.packed`), without torch, which the gateway does not
import."""

from __future__ import annotations

from collections.abc import Collection

from .adapter_files import FUSED, target_shapes
from .config import ModelConfig
from .dtypes import ITEMSIZE

HEADER = ALIGNMENT = 256
"""Bytes. The header holds an int32 rank per target."""


def packed_elements(config: ModelConfig, rank: int, targets: Collection[str]) -> int:
    """Return the number of elements of A and B, for ranks up to ``rank`` on ``targets``."""
    sizes = target_shapes(config)
    elements = 0
    for members in FUSED.values():
        there = [target for target in members if target in targets]
        inputs = len(there) * sizes[members[0]][1]
        elements += rank * (inputs + sum(sizes[target][0] for target in there))
    return config.num_layers * elements


def packed_bytes(elements: int, dtype: str) -> int:
    """Return the bytes of a packed adapter of so many elements of ``dtype``."""
    return -(-(HEADER + elements * ITEMSIZE[dtype]) // ALIGNMENT) * ALIGNMENT
