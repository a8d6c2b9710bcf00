"""Several adapters on the device at fixed addresses, and which one each row takes as an input of
the step: graphs outlive every change of who is in a batch, and of which adapters are there.

All lie in one tensor, an adapter a row, number 0 being the backbone alone. A step gathers the A and
B of its sequences by their numbers, (sequences, ranks, in | out), and does two batched products: a
copy of the adapter for each sequence, which is small beside reading the weights once for all. A
prompt's tokens share their sequence's copy.
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
        """Take the adapter of :func:`pack` under ``name``, in the place of one of that name.
        ``ValueError`` where no place is free."""
        if name not in self._taken:
            if not self._free:
                raise ValueError(f"{name}: all {len(self._taken)} places are taken")
            self._taken[name] = self._free.pop()
        self._flat[self._taken[name]].copy_(packed, non_blocking=True)

    def drop(self, name: str) -> None:
        """Only while none of its requests runs."""
        self._free.append(self._taken.pop(name))

    def numbers(self, names: Sequence[str | None]) -> list[int] | None:
        """Each sequence's input; None: nothing is to be added to any."""
        found = [0 if name is None else self._taken[name] for name in names]
        return found if any(found) else None

    def modes(self, sequences: int) -> list[list[int] | None]:
        """What :meth:`numbers` may come to, as far as graphs differ."""
        return [None, [0] * sequences]

    def pair(self, name: str, index: int, chosen: Tensor) -> tuple[Tensor, Tensor] | None:
        """A (ranks, in) and B (ranks, out) for one sequence, copied; ``chosen`` (1,)."""
        pair = self._views.get(name)
        if pair is None:
            return None
        a, b = (half[:, index].index_select(0, chosen)[0] for half in pair)
        return a, b

    def add_to(self, y: Tensor, x: Tensor, name: str, index: int, chosen: Tensor) -> Tensor:
        """``y`` += each sequence's B·A·``x`` in place, of projection ``name`` in layer ``index``.
        ``chosen`` (sequences,): their numbers; every sequence has as many rows."""
        pair = self._views.get(name)
        if pair is None:
            return y
        a, b = (half[:, index].index_select(0, chosen) for half in pair)
        rows = x.view(len(chosen), -1, x.shape[1])
        y.view(len(chosen), -1, y.shape[1]).baddbmm_(torch.bmm(rows, a.transpose(1, 2)), b)
        return y
