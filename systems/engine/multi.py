"""Continuous batching across adapters: requests of all functions of a backbone in one batch.

The CPU engine with one adapter per sequence (S-LoRA, Sheng et al., MLSys 2024: heterogeneous
batches on one backbone), and optionally with one adapter merged (dLoRA, Wu et al., OSDI 2024).
"""

from __future__ import annotations

from collections.abc import Sequence

from .adapter import AdapterWeights, LayerAdapter
from .batching import Running
from .config import ModelConfig
from .engine import Engine
from .grouped_lora import cross, rows_of
from .merging import Merging
from .weights import BackboneWeights


class MultiEngine(Merging, Engine):
    """Merging writes ``weights``, so they must be private to this engine."""

    def __init__(
        self,
        config: ModelConfig,
        weights: BackboneWeights,
        *,
        max_batch_size: int,
        max_context_tokens: int,
    ) -> None:
        limits = {"max_batch_size": max_batch_size, "max_context_tokens": max_context_tokens}
        Engine.__init__(self, config, weights, None, **limits)
        Merging.__init__(self, weights)
        self.config, self.stored = config, str(weights.dtype).removeprefix("torch.")
        self._seen: tuple[object, ...] = ()
        self._layers = self._bare = (LayerAdapter(),) * config.num_layers

    def hold(self, name: str, adapter: AdapterWeights) -> None:
        """Add an adapter; requests refer to it as ``name``."""
        self._keep(name, adapter)
        self._seen = ()

    def drop(self, name: str) -> None:
        """Remove an adapter. None of its requests may be running."""
        self._forget(name)
        self._seen = ()

    def _prepare(self, sequences: Sequence[Running], lengths: Sequence[int]) -> None:
        """Set the additions to each row; they are rebuilt only when the batch changes."""
        names = self._unmerged(sequences)
        seen = tuple(names), tuple(lengths)
        if seen != self._seen:
            rows = rows_of(names, lengths)
            self._layers = cross(self._adapters, rows, len(self._bare)) if rows else self._bare
            self._seen = seen
        self._forward.use(self._layers)
