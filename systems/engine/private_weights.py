"""Reads a private copy of a backbone from its checkpoint, by kind of device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from .checkpoint import BackboneLayout, fill
from .private_memory import map_private
from .weights import BackboneWeights


def _on_cpu(layout: BackboneLayout, model_dir: Path) -> BackboneWeights:
    buffer = map_private(layout.nbytes)
    fill(layout, model_dir, memoryview(buffer))
    return BackboneWeights.from_buffer(layout, buffer)


def _on_cuda(layout: BackboneLayout, model_dir: Path) -> BackboneWeights:
    from .cuda import device_mapping
    from .cuda.loading import fill_device

    flat = device_mapping.own(layout.nbytes).given_up()[: layout.nbytes]
    fill_device(layout, model_dir, flat)
    return BackboneWeights.from_flat(layout, flat)


READ: Mapping[str, Callable[[BackboneLayout, Path], BackboneWeights]] = {
    "cpu": _on_cpu,
    "cuda": _on_cuda,
}
"""Raises ``CheckpointError`` if the checkpoint has changed since its layout was planned."""
