"""The GPU engine for several functions: adapters in a table, or one of them merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from systems.engine.adapter import AdapterWeights
from systems.engine.batching import Running
from systems.engine.config import ModelConfig
from systems.engine.merging import Merging
from systems.engine.weights import BackboneWeights

from .engine import CudaEngine, Numbers
from .graphs import is_cuda
from .slot import pack
from .table import AdapterTable


class CudaMultiEngine(Merging, CudaEngine):
    """Merging writes ``weights`` in place, so graphs stay valid; they must be private. Host copies
    of the adapters are kept for merging."""

    def __init__(
        self, config: ModelConfig, weights: BackboneWeights, table: AdapterTable, **settings: Any
    ) -> None:
        CudaEngine.__init__(self, config, weights, table, **settings)
        Merging.__init__(self, weights)
        self.config, self.stored = config, str(weights.dtype).removeprefix("torch.")
        self._table = table
        self._pin = is_cuda(str(weights.embedding.device))

    def hold(self, name: str, adapter: AdapterWeights) -> None:
        """Add an adapter as ``name``. Raise ``ValueError`` if the table is full."""
        self._table.hold(name, pack(adapter, self._table.shape, pin=self._pin))
        self._keep(name, adapter)

    def drop(self, name: str) -> None:
        """Remove an adapter. None of its requests may be running."""
        self._forget(name)
        self._table.drop(name)

    def _numbers(self, sequences: Sequence[Running]) -> Numbers:
        return self._table.numbers(self._unmerged(sequences))
