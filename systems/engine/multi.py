"""Continuous batching across adapters: requests of all functions of a backbone in one batch.

The CPU engine with an adapter for each sequence (S-LoRA, Sheng et al., MLSys 2024: heterogeneous
batches over one backbone), and with one adapter merged where somebody asks for it (dLoRA, Wu et
al., OSDI 2024).
"""

from __future__ import annotations

from collections.abc import Sequence

from .adapter import AdapterWeights, LayerAdapter
from .batching import Running
from .config import ModelConfig
from .crossing import cross, rows_of
from .engine import Engine
from .merging import Merging
from .weights import BackboneWeights


class MultiEngine(Merging, Engine):
    """Merging writes ``weights``, which must then be this engine's own."""

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
        """``name`` is what requests call it by."""
        self._keep(name, adapter)
        self._seen = ()

    def drop(self, name: str) -> None:
        """Only while none of its requests runs."""
        self._forget(name)
        self._seen = ()

    def _prepare(self, sequences: Sequence[Running], lengths: Sequence[int]) -> None:
        """What is added to each row; the same as before for as long as the batch is."""
        names = self._unmerged(sequences)
        seen = tuple(names), tuple(lengths)
        if seen != self._seen:
            rows = rows_of(names, lengths)
            self._layers = cross(self._adapters, rows, len(self._bare)) if rows else self._bare
            self._seen = seen
        self._forward.use(self._layers)
