"""The size of a packed adapter (:mod:`.packed`), without torch, which the gateway does not
import."""

from __future__ import annotations

from collections.abc import Collection

from .config import ModelConfig
from .dtypes import ITEMSIZE
from .projections import FUSED, target_shapes

ALIGNMENT = 256


def header_bytes(config: ModelConfig, targets: Collection[str]) -> int:
    """Return the bytes of the header: an int32 rank for each layer and target."""
    return _aligned(4 * config.num_layers * len(targets))


def packed_elements(config: ModelConfig, rank: int, targets: Collection[str]) -> int:
    """Return the number of elements of A and B, for ranks up to ``rank`` on ``targets``."""
    sizes = target_shapes(config)
    elements = 0
    for members in FUSED.values():
        there = [target for target in members if target in targets]
        inputs = len(there) * sizes[members[0]][1]
        elements += rank * (inputs + sum(sizes[target][0] for target in there))
    return config.num_layers * elements


def packed_bytes(config: ModelConfig, rank: int, targets: Collection[str], dtype: str) -> int:
    """Return the bytes of a packed adapter of ranks up to ``rank`` on ``targets``, whose elements
    are ``dtype``."""
    elements = packed_elements(config, rank, targets) * ITEMSIZE[dtype]
    return header_bytes(config, targets) + _aligned(elements)


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
