"""The cross-adapter GPU engine with one adapter merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from systems.engine.adapter import AdapterWeights
from systems.engine.batching import Running
from systems.engine.config import ModelConfig
from systems.engine.merging import Merging
from systems.engine.packed import unpack
from systems.engine.weights import BackboneWeights

from .cross import CudaCrossEngine
from .engine import Numbers
from .table import AdapterTable


class CudaMultiEngine(Merging, CudaCrossEngine):
    """Merging writes ``weights`` in place, so graphs stay valid; they must be private. An adapter
    is merged from its place on the device."""

    def __init__(
        self, config: ModelConfig, weights: BackboneWeights, table: AdapterTable, **settings: Any
    ) -> None:
        CudaCrossEngine.__init__(self, config, weights, table, **settings)
        Merging.__init__(self, weights)
        self._held: dict[str, AdapterWeights] = {}

    def hold(self, name: str, flat: Tensor) -> None:
        super().hold(name, flat)
        self._held[name] = unpack(flat, self.shape, self._table.place(name))

    def drop(self, name: str) -> None:
        self._unmerge(name)
        super().drop(name)
        del self._held[name]

    def _adapter(self, name: str) -> AdapterWeights:
        return self._held[name]

    def _numbers(self, sequences: Sequence[Running]) -> Numbers:
        """None: no sequence has an addition, so the step runs without any."""
        names = self._unmerged(sequences)
        return self._table.numbers(names) if any(names) else None

    def _modes(self, sequences: int) -> list[Numbers]:
        return [None, *super()._modes(sequences)]
