"""Continuous batching across adapters: requests of all functions of a group in one batch.

The CPU engine with one adapter per sequence, added unmerged (S-LoRA, Sheng et al., MLSys 2024:
heterogeneous batches on one backbone). Nothing is written to the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .adapter import AdapterWeights, LayerAdapter
from .batching import Running
from .config import ModelConfig
from .engine import Engine
from .grouped_lora import cross, rows_of
from .packed import SlotShape, unpack
from .places import ByName, Places
from .weights import BackboneWeights


class CrossEngine(ByName, Engine):
    """Holds up to ``places`` adapters that fit ``shape``."""

    def __init__(
        self,
        config: ModelConfig,
        weights: BackboneWeights,
        shape: SlotShape,
        places: int,
        *,
        max_batch_size: int,
        max_context_tokens: int,
        piece_tokens: int | None = None,
    ) -> None:
        limits = {"max_batch_size": max_batch_size, "max_context_tokens": max_context_tokens}
        super().__init__(config, weights, None, piece_tokens=piece_tokens, **limits)
        self.shape = shape
        self._places = Places(places)
        self._adapters: dict[str, AdapterWeights] = {}
        self._seen: tuple[object, ...] = ()
        self._layers = self._bare = (LayerAdapter(),) * config.num_layers

    def hold(self, name: str, flat: Tensor) -> None:
        """Add the packed adapter in ``flat`` without copying it; requests refer to it as ``name``.
        Raise ``ValueError`` if ``name`` is held, all places are taken, or ``flat`` does not have
        the engine's shape."""
        adapter = unpack(flat, self.shape)
        self._places.take(name)
        self._adapters[name] = adapter

    def drop(self, name: str) -> None:
        """Remove an adapter. Raise ``ValueError`` if it is not held, or a request that uses it is
        running."""
        self._leave(name)
        del self._adapters[name]
        # They are views of the caller's buffer, which may be unmapped now.
        self._layers, self._seen = self._bare, ()
        self._forward.use(self._bare)

    def _prepare(self, sequences: Sequence[Running], lengths: Sequence[int]) -> None:
        """Set the additions to each row; they are rebuilt only when the batch changes."""
        names = self._added(sequences)
        seen = tuple(names), tuple(lengths)
        if seen != self._seen:
            rows = rows_of(names, lengths)
            self._layers = cross(self._adapters, rows, len(self._bare)) if rows else self._bare
            self._seen = seen
        self._forward.use(self._layers)

    def _added(self, sequences: Sequence[Running]) -> list[str | None]:
        """Return the adapter to add to each sequence's rows."""
        return [sequence.request.adapter for sequence in sequences]
