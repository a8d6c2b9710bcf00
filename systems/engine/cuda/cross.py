"""The GPU engine across adapters: each step adds every row's own adapter from a table."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from systems.engine.config import ModelConfig
from systems.engine.places import ByName
from systems.engine.weights import BackboneWeights

from .engine import CudaEngine
from .table import AdapterTable


class CudaCrossEngine(ByName, CudaEngine):
    """Holds the adapters of ``table``. Nothing is written to the weights."""

    def __init__(
        self, config: ModelConfig, weights: BackboneWeights, table: AdapterTable, **settings: Any
    ) -> None:
        super().__init__(config, weights, table, **settings)
        self.shape = table.shape
        self._table = table
        self._places = table.places

    def hold(self, name: str, flat: Tensor) -> None:
        """Copy the packed adapter in ``flat``, in host memory, to a place; requests refer to it as
        ``name``. Later steps wait for the copy. Raise ``ValueError`` if ``name`` is held, all
        places are taken, or ``flat`` does not have the table's shape."""
        self._table.hold(name, flat)

    def drop(self, name: str) -> None:
        """Remove an adapter. Raise ``ValueError`` if it is not held, or a request that uses it is
        running."""
        self._table.clear(self._leave(name))
