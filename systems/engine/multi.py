"""The cross-adapter CPU engine with one adapter merged (dLoRA, Wu et al., OSDI 2024)."""

from __future__ import annotations

from collections.abc import Sequence

from .adapter import AdapterWeights
from .batching import Running
from .config import ModelConfig
from .cross import CrossEngine
from .merging import Merging
from .packed import SlotShape
from .weights import BackboneWeights


class MultiEngine(Merging, CrossEngine):
    """Merging writes ``weights``, so they must be private to this engine."""

    def __init__(
        self,
        config: ModelConfig,
        weights: BackboneWeights,
        shape: SlotShape,
        places: int,
        *,
        max_batch_size: int,
        max_context_tokens: int,
    ) -> None:
        limits = {"max_batch_size": max_batch_size, "max_context_tokens": max_context_tokens}
        CrossEngine.__init__(self, config, weights, shape, places, **limits)
        Merging.__init__(self, weights)

    def drop(self, name: str) -> None:
        self._unmerge(name)
        super().drop(name)

    def _adapter(self, name: str) -> AdapterWeights:
        return self._adapters[name]

    def _added(self, sequences: Sequence[Running]) -> list[str | None]:
        return self._unmerged(sequences)
