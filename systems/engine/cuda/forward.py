"""The forward pass on one device in the dtype of the weights, suitable for CUDA graphs: no
allocation depends on values, and nothing is copied back to the host."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, cat, mm
from torch.nn.functional import embedding, linear, scaled_dot_product_attention

from systems.engine.config import ModelConfig
from systems.engine.reach import as_mask, reached
from systems.engine.rope import rope_tables
from systems.engine.weights import BackboneWeights

from .ops import Adapter, HeadWeights, TorchOps
from .slab import SlabCache
from .slot import AdapterSlot
from .table import AdapterTable

Attend = Callable[[int, Tensor], Tensor]
Additions = tuple[Tensor, int] | None
"""Place numbers of adapters, and how many of them are of single rows: see ``add_lora``."""


class DeviceForward:
    """One backbone, one adapter slot (None: the backbone alone), one cache. A pass has logits of at
    most ``most_logits`` rows; those of all passes of several rows are in the same memory, or each
    graph would keep its own."""

    def __init__(
        self,
        config: ModelConfig,
        weights: BackboneWeights,
        slot: AdapterSlot | AdapterTable | None,
        cache: SlabCache,
        ops: TorchOps,
        most_logits: int,
    ) -> None:
        self._config = config
        self._weights = weights
        self._slot = slot
        self._cache = cache
        self._ops = ops
        device = weights.embedding.device
        cos, sin = rope_tables(config, cache.tokens)
        self._cos, self._sin = cos.to(device), sin.to(device)
        self._logits = weights.head.new_empty(most_logits, len(weights.head))

    def pass_bytes(self, tokens: int) -> int:
        """Return how many bytes the tensors of a pass over ``tokens`` take at most at a time: the
        residual stream and its norm, and those of the MLP or of attention, without what kernels
        need beside and the cached tokens that a later piece copies."""
        config = self._config
        mlp, attention = 3 * config.intermediate_size, 3 * config.q_size + 2 * config.kv_size
        of_token = 2 * config.hidden_size + max(mlp, attention)
        return tokens * of_token * self._weights.dtype.itemsize

    def prompts(
        self,
        ids: Tensor,
        positions: Tensor,
        slots: Tensor,
        bounds: Tensor,
        last: Tensor,
        adapters: Tensor | None,
        *,
        context: int,
        rows: int,
    ) -> Tensor:
        """Return logits (len(last), vocabulary) of the rows ``last`` of a pass over pieces of
        prompts. Each begins at a multiple of ``TILE``; padding follows it, to which no token of it
        attends, and is not stored. ``slots``: of each token; ``bounds``: the rows at which pieces
        begin, then those of parts of the padding, then the number of rows; ``adapters``: the place
        of each tile's adapter (None: the backbone alone). ``context``: the one piece attends to the
        first ``context`` cached tokens, itself included; 0: pieces are the first of their prompts
        and attend to themselves alone. ``rows``: the first ``rows`` of ids, positions and slots are
        not of prompts, but a token of each running request, in slots 0 … rows-1; the first places
        in ``adapters`` are theirs, and ``bounds`` counts from the row after them."""
        if context:
            attend = self._after(positions, slots, context)
        else:
            attend = self._among(positions, slots, bounds.int(), rows)
        x = embedding(ids, self._weights.embedding)
        return self._many(x, attend, last, None if adapters is None else (adapters, rows))

    def _among(self, positions: Tensor, slots: Tensor, bounds: Tensor, rows: int) -> Attend:
        """Attention of first pieces, after ``rows`` of a step."""
        heads, kv_heads = self._config.num_heads, self._config.num_kv_heads

        def attend(layer: int, qkv: Tensor) -> Tensor:
            self._store(layer, qkv, positions, slots)
            window = self._config.window_of(layer)
            attended = self._ops.attend_prompts(qkv[rows:], kv_heads, bounds, window)
            if not rows:
                return attended
            kv = self._cache.layers[layer]
            own = self._ops.attend(qkv[:rows, :heads], kv, positions[:rows], window)
            return cat([own, attended])

        return attend

    def _after(self, positions: Tensor, slots: Tensor, context: int) -> Attend:
        """Attention of a later piece, to copies of the cached tokens: a graph's addresses are
        fixed, its slots are not."""
        own = positions.clamp(min=0)
        masks = {
            window: as_mask(reached(own, context, window), self._weights.dtype)
            for window in self._config.windows
        }
        heads = self._config.num_heads
        group = heads // self._config.num_kv_heads

        def attend(layer: int, qkv: Tensor) -> Tensor:
            self._store(layer, qkv, positions, slots)
            kv = self._cache.layers[layer][..., :context, :].index_select(1, slots[:1])
            # With a mask and grouped heads, torch would materialize the scores.
            keys, values = kv.repeat_interleave(group, 2)
            q, mask = qkv[None, :, :heads].transpose(1, 2), masks[self._config.window_of(layer)]
            done = scaled_dot_product_attention(q, keys, values, mask)
            return done.transpose(1, 2).reshape(len(qkv), -1)

        return attend

    def step(
        self, ids: Tensor, positions: Tensor, slots: Tensor, adapters: Tensor | None
    ) -> Tensor:
        """Return logits (n, vocabulary) of one more token for slots 0 … n-1, which ``slots`` holds.
        ``adapters``: the place of each row's adapter (None: the backbone alone)."""
        heads = self._config.num_heads

        def attend(layer: int, qkv: Tensor) -> Tensor:
            self._store(layer, qkv, positions, slots)
            kv, window = self._cache.layers[layer], self._config.window_of(layer)
            return self._ops.attend(qkv[:, :heads], kv, positions, window)

        x = embedding(ids, self._weights.embedding)
        if len(x) == 1:
            return self._one(x, attend, adapters)
        return self._many(x, attend, None, None if adapters is None else (adapters, 0))

    def _one(self, x: Tensor, attend: Attend, adapters: Tensor | None) -> Tensor:
        """Run one row with as few launches as possible; it is bound by reading the weights."""
        weights, row, eps = self._weights, self._ops.row_product, self._config.rms_norm_eps
        for index, layer in enumerate(weights.layers):
            of_qkv, of_o, of_gate_up, of_down = (
                self._adapter(name, index, adapters) for name in ("qkv", "o", "gate_up", "down")
            )
            qkv = row(x, layer.qkv, norm=layer.input_norm, eps=eps, adapter=of_qkv)
            attended = attend(index, qkv.view(1, -1, self._config.head_dim))
            row(attended, layer.o, adapter=of_o, onto=x)
            norm = layer.post_norm
            inner = row(x, layer.gate_up, norm=norm, eps=eps, adapter=of_gate_up, gate=True)
            row(inner, layer.down, adapter=of_down, onto=x)
        return row(x, weights.head, norm=weights.norm, eps=eps)

    def _many(self, x: Tensor, attend: Attend, last: Tensor | None, adapters: Additions) -> Tensor:
        weights, ops, eps = self._weights, self._ops, self._config.rms_norm_eps
        normed = ops.norm(x, weights.layers[0].input_norm, eps)
        following = [layer.input_norm for layer in weights.layers[1:]] + [weights.norm]
        for index, layer in enumerate(weights.layers):
            attended = self._attention(index, normed, attend, adapters)
            normed = ops.add_norm(x, attended, layer.post_norm, eps)
            del attended
            normed = ops.add_norm(x, self._mlp(index, normed, adapters), following[index], eps)
        # Rows are selected with embedding, whose kernel is already loaded; loading that of
        # index_select takes a new process 0.1 s.
        chosen = normed if last is None else embedding(last, normed)
        return mm(chosen, weights.head.t(), out=self._logits[: len(chosen)])

    def _attention(self, index: int, x: Tensor, attend: Attend, adapters: Additions) -> Tensor:
        layer = self._weights.layers[index]
        qkv = self._project("qkv", index, x, layer.qkv, adapters)
        attended = attend(index, qkv.view(len(x), -1, self._config.head_dim))
        return self._project("o", index, attended, layer.o, adapters)

    def _mlp(self, index: int, x: Tensor, adapters: Additions) -> Tensor:
        layer = self._weights.layers[index]
        # Nothing refers to the widest tensor of a pass once it has been used.
        inner = self._ops.silu_mul(self._project("gate_up", index, x, layer.gate_up, adapters))
        return self._project("down", index, inner, layer.down, adapters)

    def _store(self, layer: int, qkv: Tensor, positions: Tensor, slots: Tensor) -> None:
        kv, of_layer = self._cache.layers[layer], self._weights.layers[layer]
        extras = HeadWeights(of_layer.qkv_bias, of_layer.qk_norm, self._config.rms_norm_eps)
        self._ops.rotate_and_store(qkv, self._cos, self._sin, positions, slots, kv, extras)

    def _project(
        self, name: str, index: int, x: Tensor, weight: Tensor, adapters: Additions
    ) -> Tensor:
        y = linear(x, weight)
        if self._slot is None or adapters is None:
            return y
        lora = self._slot.at(name, index)
        if lora is not None:
            self._ops.add_lora(y, x, lora, *adapters)
        return y

    def _adapter(self, name: str, index: int, adapters: Tensor | None) -> Adapter | None:
        if self._slot is None or adapters is None:
            return None
        lora = self._slot.at(name, index)
        return None if lora is None else (lora, adapters)
