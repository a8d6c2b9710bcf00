"""A slot for one adapter at fixed addresses, so that graphs stay valid when adapters change.

An adapter is packed on the host into one flat buffer with the slot's layout and copied at once. Per
fused projection: the A matrices of its targets stacked, (ranks, in), and their B as one
block-diagonal matrix, (ranks, out): two products instead of one plus three, for a few more bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from systems.engine.adapter import FUSED, AdapterWeights, Delta, StoredAdapter, check_finite
from systems.engine.adapter_files import target_shapes
from systems.engine.config import ModelConfig
from systems.errors import AdapterError


@dataclass(frozen=True, slots=True)
class SlotShape:
    """What fits: rank up to ``rank`` on each of ``targets``. Elements are ``dtype``."""

    config: ModelConfig
    rank: int
    targets: tuple[str, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, config: ModelConfig, rank: int, targets: Iterable[str], dtype: torch.dtype) -> Self:
        return cls(config, rank, tuple(sorted(targets)), dtype)

    @property
    def matrices(self) -> dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]]:
        """Fused projection → shapes of its A and B over all layers, (layers, ranks, in | out)."""
        shapes = target_shapes(self.config)
        layers = self.config.num_layers
        found = {}
        for name, members in FUSED.items():
            ranks = self.rank * sum(target in self.targets for target in members)
            if ranks:
                out = sum(shapes[target][0] for target in members)
                found[name] = (layers, ranks, shapes[members[0]][1]), (layers, ranks, out)
        return found

    @property
    def elements(self) -> int:
        return sum(math.prod(shape) for pair in self.matrices.values() for shape in pair)

    def views(self, flat: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Return A and B of each fused projection as views of ``flat`` (…, elements)."""
        found: dict[str, tuple[Tensor, Tensor]] = {}
        start = 0
        for name, pair in self.matrices.items():
            halves = []
            for shape in pair:
                count = math.prod(shape)
                halves.append(flat[..., start : start + count].view(*flat.shape[:-1], *shape))
                start += count
            found[name] = (halves[0], halves[1])
        return found


def pack(adapter: AdapterWeights, shape: SlotShape, *, pin: bool = False) -> Tensor:
    """Pack ``adapter`` into one flat host buffer for a slot of ``shape``; lower ranks are padded
    with zeros. ``pin``: page-locked, for a fast copy. Raise ``AdapterError`` if the adapter does
    not fit or its values overflow the dtype of ``shape``."""
    flat = torch.zeros(shape.elements, dtype=shape.dtype, pin_memory=pin)
    views = shape.views(flat)
    for index, layer in enumerate(adapter.layers):
        for name in FUSED:
            delta: Delta | None = getattr(layer, name)
            if delta is None:
                continue
            if name not in views or delta.a.shape[0] > views[name][0].shape[1]:
                raise AdapterError(
                    f"adapter with {delta.a.shape[0]} rows for {name}: a slot of rank"
                    f" {shape.rank} on {', '.join(shape.targets)} cannot take it"
                )
            a, b = views[name]
            a[index, : delta.a.shape[0]] = delta.a
            for part in delta.parts:
                b[index, part.low : part.high, part.start : part.stop] = part.b
    check_finite(flat, f"slot of rank {shape.rank}")
    return flat


class AdapterSlot:
    """Device memory for one adapter of ``shape``; initially zeros, that is the backbone alone."""

    def __init__(self, shape: SlotShape, device: str) -> None:
        self.shape = shape
        self._flat = torch.zeros(shape.elements, dtype=shape.dtype, device=device)
        self._views = shape.views(self._flat)

    @property
    def nbytes(self) -> int:
        return self._flat.nbytes

    def pair(self, name: str, index: int, chosen: Tensor) -> tuple[Tensor, Tensor] | None:  # noqa: ARG002
        """Return A (ranks, in) and B (ranks, out) of a fused projection for one sequence; None if
        it has no addition. ``chosen``: the number of the sequence's slot."""
        pair = self._views.get(name)
        return None if pair is None else (pair[0][index], pair[1][index])

    def numbers(self, names: Sequence[str | None]) -> list[int] | None:
        """Return each sequence's slot number; None if no sequence has an addition. Here it is that
        of the only slot, whatever the names."""
        return [0] * len(names)

    def modes(self, sequences: int) -> list[list[int] | None]:
        """Return the values of :meth:`numbers` for which graphs differ."""
        return [[0] * sequences]

    def add_to(self, y: Tensor, x: Tensor, name: str, index: int, chosen: Tensor) -> Tensor:
        """Add B·A·``x`` to ``y`` in place, for projection ``name`` in layer ``index``. ``chosen``:
        the slot number of each sequence; all sequences have equally many rows."""
        pair = self.pair(name, index, chosen)
        return y if pair is None else y.addmm_(torch.mm(x, pair[0].t()), pair[1])

    def put(self, packed: Tensor) -> None:
        """Copy in an adapter of :func:`pack`, from host or device, at once. The copy is ordered
        before later launches."""
        self._flat.copy_(packed, non_blocking=True)

    def load(self, stored: StoredAdapter) -> None:
        """Load an adapter of this shape from its stored form: copy each matrix unchanged; the
        device scales, transposes and places it, in a fraction of the time of :func:`pack`.
        Raise ``AdapterError`` if a weight is not finite."""
        self._flat.zero_()
        shapes = target_shapes(self.shape.config)
        for name, members in FUSED.items():
            start = low = 0
            for target in members:
                stop, high = start + shapes[target][0], low + stored.rank
                if target in stored.targets:
                    a, b = self._views[name]
                    self._place(stored, target, a[:, low:high], b[:, low:high, start:stop])
                    low = high
                start = stop
        check_finite(self._flat, stored.name)

    def _place(self, stored: StoredAdapter, target: str, a: Tensor, b: Tensor) -> None:
        """Place one target's ``a`` (layers, rank, in) and ``b`` (layers, rank, out)."""
        device = self._flat.device
        for layer in range(len(a)):
            if (layer, target, "A") in stored.pairs:
                torch.mul(stored.pairs[layer, target, "A"].to(device), 1.0, out=a[layer])
                turned = stored.pairs[layer, target, "B"].to(device).t()
                torch.mul(turned, stored.scaling, out=b[layer])

    def rehearse(self) -> None:
        """Load the kernels that :meth:`load` needs, by loading an adapter of zeros."""
        target = self.shape.targets[0]
        out, inner = target_shapes(self.shape.config)[target]
        rank = self.shape.rank
        for dtype in {self.shape.dtype, torch.float32}:
            halves = {"A": torch.zeros(rank, inner), "B": torch.zeros(out, rank)}
            pairs = {(0, target, half): value.to(dtype) for half, value in halves.items()}
            self.load(StoredAdapter("zeros", pairs, 1.0, rank, (target,)))

    def clear(self) -> None:
        """Reset to the backbone alone."""
        self._flat.zero_()
