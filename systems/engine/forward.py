"""The forward pass of a decoder on plain tensors, with an unmerged adapter."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor
from torch.nn.functional import embedding, silu

from .adapter import AdapterWeights, Addition, LayerAdapter
from .config import ModelConfig
from .heads import Heads
from .linear import make_linear
from .norm import rms_norm
from .rope import rope_tables
from .weights import BackboneWeights, LayerWeights


class Attention(Protocol):
    """Stores a layer's keys and values and computes attention: (tokens, q+k+v heads, head_dim),
    rotated → (tokens, q_size)."""

    def __call__(self, layer: int, qkv: Tensor) -> Tensor: ...


class Forward:
    """The forward pass of a backbone and an adapter (None: the backbone alone). Residual stream,
    norms, attention and adapter are float32, whatever the dtype of the weights."""

    def __init__(
        self,
        config: ModelConfig,
        weights: BackboneWeights,
        adapter: AdapterWeights | None,
        max_positions: int,
    ) -> None:
        self._config = config
        self._weights = weights
        bare = (LayerAdapter(),) * config.num_layers
        self._adapters = adapter.layers if adapter else bare
        self._norms = [
            (layer.input_norm.float(), layer.post_norm.float()) for layer in weights.layers
        ]
        self._heads = [Heads.of(config, layer) for layer in weights.layers]
        self._last_norm = weights.norm.float()
        self._linear = make_linear(weights.dtype, config)
        self._cos, self._sin = (table[:, None] for table in rope_tables(config, max_positions))

    def use(self, layers: tuple[LayerAdapter, ...]) -> None:
        """Set the additions of the next passes, by layer."""
        self._adapters = layers

    def __call__(
        self, ids: Tensor, positions: Tensor, attention: Attention, last: Tensor | None = None
    ) -> Tensor:
        """Return float32 logits (tokens, vocabulary), or those of the rows ``last`` only. ``ids``,
        ``positions``: (tokens,), of several concatenated sequences."""
        x = embedding(ids, self._weights.embedding).float()
        cos, sin = self._cos[positions], self._sin[positions]
        for index, layer in enumerate(self._weights.layers):
            adapter = self._adapters[index]
            before, between = self._norms[index]
            x.add_(self._attend(index, layer, adapter, self._norm(x, before), cos, sin, attention))
            x.add_(self._feed(layer, adapter, self._norm(x, between)))
        if last is not None:
            x = x[last]
        return self._linear(self._norm(x, self._last_norm), self._weights.head).float()

    def _attend(
        self,
        index: int,
        layer: LayerWeights,
        adapter: LayerAdapter,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        attention: Attention,
    ) -> Tensor:
        qkv = self._project(x, layer.qkv, adapter.qkv).float().contiguous()
        heads = self._heads[index](qkv, cos, sin)
        return self._project(attention(index, heads), layer.o, adapter.o)

    def _feed(self, layer: LayerWeights, adapter: LayerAdapter, x: Tensor) -> Tensor:
        gate, up = self._project(x, layer.gate_up, adapter.gate_up).chunk(2, 1)
        return self._project(silu(gate).mul_(up), layer.down, adapter.down)

    def _project(self, x: Tensor, weight: Tensor, delta: Addition | None) -> Tensor:
        y = self._linear(x, weight)
        return y if delta is None else delta.add_to(y.float(), x.float())

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(x, weight, self._config.rms_norm_eps)
