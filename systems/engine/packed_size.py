"""The size of a packed adapter, without torch, which the gateway does not import."""

from __future__ import annotations

from collections.abc import Collection

from .adapter_files import FUSED, target_shapes
from .config import ModelConfig
from .dtypes import ITEMSIZE


def packed_elements(config: ModelConfig, rank: int, targets: Collection[str]) -> int:
    """Return the number of elements of A and B, for ranks up to ``rank`` on ``targets``."""
    sizes = target_shapes(config)
    elements = 0
    for members in FUSED.values():
        ranks = rank * sum(target in targets for target in members)
        elements += ranks * (sizes[members[0]][1] + sum(sizes[target][0] for target in members))
    return config.num_layers * elements


def packed_bytes(config: ModelConfig, rank: int, targets: Collection[str], dtype: str) -> int:
    """Return the bytes of a packed adapter with elements of ``dtype``."""
    return packed_elements(config, rank, targets) * ITEMSIZE[dtype]
