"""Several adapters on the device at fixed addresses. Each step takes its sequences' adapter numbers
as an input, so graphs stay valid whenever the batch or the set of adapters changes.

One tensor holds all adapters, one per row; number 0 is the backbone alone. A step gathers A and B
of its sequences by number, (sequences, ranks, in | out), and computes two batched products. This
copies an adapter per sequence, which is small compared with reading the weights once for all. A
prompt's tokens share the copy of their sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .slot import SlotShape


class AdapterTable:
    """Device memory for ``count`` adapters of ``shape``."""

    def __init__(self, shape: SlotShape, count: int, device: str) -> None:
        self.shape = shape
        self._flat = torch.zeros(count + 1, shape.elements, dtype=shape.dtype, device=device)
        self._views = shape.views(self._flat)
        self._taken: dict[str, int] = {}
        self._free = list(range(count, 0, -1))

    @property
    def nbytes(self) -> int:
        return self._flat.nbytes

    def hold(self, name: str, packed: Tensor) -> None:
        """Store the adapter of :func:`pack` as ``name``, replacing one of that name. Raise
        ``ValueError`` if the table is full."""
        if name not in self._taken:
            if not self._free:
                raise ValueError(f"{name}: all {len(self._taken)} places are taken")
            self._taken[name] = self._free.pop()
        self._flat[self._taken[name]].copy_(packed, non_blocking=True)

    def drop(self, name: str) -> None:
        """Remove an adapter. None of its requests may be running."""
        self._free.append(self._taken.pop(name))

    def numbers(self, names: Sequence[str | None]) -> list[int] | None:
        """Return each sequence's adapter number; None if no sequence has an addition."""
        found = [0 if name is None else self._taken[name] for name in names]
        return found if any(found) else None

    def modes(self, sequences: int) -> list[list[int] | None]:
        """Return the values of :meth:`numbers` for which graphs differ."""
        return [None, [0] * sequences]

    def pair(self, name: str, index: int, chosen: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return copies of A (ranks, in) and B (ranks, out) of one sequence; ``chosen`` (1,)."""
        pair = self._views.get(name)
        if pair is None:
            return None
        a, b = (half[:, index].index_select(0, chosen)[0] for half in pair)
        return a, b

    def add_to(self, y: Tensor, x: Tensor, name: str, index: int, chosen: Tensor) -> Tensor:
        """Add each sequence's B·A·``x`` to ``y`` in place, for projection ``name`` in layer
        ``index``. ``chosen`` (sequences,): adapter numbers; all have equally many rows."""
        pair = self._views.get(name)
        if pair is None:
            return y
        a, b = (half[:, index].index_select(0, chosen) for half in pair)
        rows = x.view(len(chosen), -1, x.shape[1])
        y.view(len(chosen), -1, y.shape[1]).baddbmm_(torch.bmm(rows, a.transpose(1, 2)), b)
        return y
