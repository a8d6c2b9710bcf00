"""The operations of a decoder layer between its matrix products, in plain torch.

The Triton kernels do the same in one launch each and are tested against these. Norms, rotations
and softmax are computed in float32 and rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

from systems.engine.packed import Span
from systems.engine.reach import reached

from .buckets import TILE, context_bucket


@dataclass(frozen=True, slots=True)
class LoraPlaces:
    """The adapters of one fused projection in one layer, by place: ``a`` (places, ranks, in), ``b``
    (places, rank, columns). ``bounds`` (places, spans + 1): the row of A at which each span begins,
    and where the last one ends. Place numbers count from 1; 0: no adapter."""

    a: Tensor
    b: Tensor
    bounds: Tensor
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class HeadWeights:
    """What is applied to the heads of q, k and v before the rotation; None: nothing. ``bias``:
    (q + k + v), added; ``norm``: (2, head_dim), with which each head of q, and of k, is
    normalized (RMS)."""

    bias: Tensor | None = None
    norm: Tensor | None = None
    eps: float = 0.0


PLAIN_HEADS = HeadWeights()

Adapter = tuple[LoraPlaces, Tensor]
"""Adapters, and the place number (1,) of the only row."""


class TorchOps:
    """The reference operations, which kernels replace. ``x``: (tokens, hidden). ``kv``: one layer's
    (2, slots, kv heads, tokens, head_dim). A row with a position below zero is padding; its result
    is undefined."""

    leaves_padding = False
    """Whether operations leave the KV slots of padding untouched, so that they need no memory. If
    not, its keys and values go to the last slot of ``kv``, which no request has."""

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        return rms_norm(x, weight.shape, weight, eps)

    def add_norm(self, x: Tensor, y: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Add ``y`` to ``x`` in place and return the norm of the sum."""
        return self.norm(x.add_(y), weight, eps)

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        """(tokens, 2·inner) → (tokens, inner)."""
        gate, up = gate_up.chunk(2, 1)
        return silu(gate).mul_(up)

    def row_product(
        self,
        x: Tensor,
        weight: Tensor,
        *,
        norm: Tensor | None = None,
        eps: float = 0.0,
        adapter: Adapter | None = None,
        gate: bool = False,
        onto: Tensor | None = None,
    ) -> Tensor:
        """Multiply one row ``x`` (1, in) by ``weight`` (out, in), with the operations around it.
        ``norm``: normalize ``x`` first; ``adapter``: add B·A·x; ``gate``: apply :meth:`silu_mul`;
        ``onto``: add the result to it in place. Returns (1, out), or half of it with ``gate``."""
        x = x if norm is None else self.norm(x, norm, eps)
        y = linear(x, weight)
        if adapter is not None:
            self.add_lora(y, x, *adapter)
        y = self.silu_mul(y) if gate else y
        return y if onto is None else onto.add_(y)

    def add_lora(
        self, y: Tensor, x: Tensor, lora: LoraPlaces, numbers: Tensor, single: int = 0
    ) -> Tensor:
        """Add each sequence's own B·A·``x`` (rows, in) to ``y`` (rows, out) in place and return it.
        ``numbers`` (sequences,): place numbers. The first ``single`` sequences have one row each,
        all others, of prompts their tiles, equally many. The result of a row depends on that row
        and its adapter alone."""
        if single:
            self.add_lora(y[:single], x[:single], lora, numbers[:single])
            self.add_lora(y[single:], x[single:], lora, numbers[single:])
            return y
        place, count = (numbers - 1).clamp(min=0), len(numbers)
        bounds = lora.bounds[place].long() * (numbers > 0)[:, None]
        a, b = lora.a[place], lora.b[place]
        rows, sums = x.view(count, -1, x.shape[1]), y.view(count, -1, y.shape[1])
        low = torch.bmm(rows, a.transpose(1, 2))
        rank = torch.arange(b.shape[1], device=x.device)
        for index, span in enumerate(lora.spans):
            row = bounds[:, index, None] + rank
            inside = row < bounds[:, index + 1, None]
            row = row.clamp(max=a.shape[1] - 1)[:, None].expand(-1, rows.shape[1], -1)
            # What lies outside is chosen away, not multiplied by zero: it may be infinite.
            mine = torch.where(inside[:, None], low.gather(2, row), 0)
            columns = b[:, :, span.first : span.first + span.size]
            added = torch.bmm(mine, torch.where(inside[..., None], columns, 0))
            sums[..., span.start : span.start + span.size].add_(added)
        return y

    def rotate_and_store(
        self,
        qkv: Tensor,
        cos: Tensor,
        sin: Tensor,
        positions: Tensor,
        slots: Tensor,
        kv: Tensor,
        extras: HeadWeights = PLAIN_HEADS,
    ) -> None:
        """Apply ``extras`` to ``qkv`` (tokens, q + k + v heads, head_dim) and rotate q and k, in
        place, and store k and v of each token at its slot and position. ``cos``, ``sin``:
        (positions, head_dim)."""
        kv_heads, head_dim = kv.shape[2], kv.shape[4]
        slots = slots.where(positions >= 0, kv.shape[1] - 1)
        positions = positions.clamp(min=0)
        whole = qkv.float()
        if extras.bias is not None:
            whole = whole + extras.bias.float().view(-1, head_dim)
            qkv[:, -kv_heads:].copy_(whole[:, -kv_heads:])
        turned = whole[:, :-kv_heads]
        if extras.norm is not None:
            turned = _norm_heads(turned, extras.norm.float(), kv_heads, extras.eps)
        swapped = turned.roll(head_dim // 2, -1)
        turned = turned * cos[positions][:, None] + swapped * sin[positions][:, None]
        qkv[:, :-kv_heads].copy_(turned)
        new = qkv[:, -2 * kv_heads :].reshape(-1, 2, kv_heads, head_dim)
        kv.permute(1, 3, 0, 2, 4).index_put_((slots, positions), new)

    def attend(self, q: Tensor, kv: Tensor, positions: Tensor, window: int | None = None) -> Tensor:
        """Attend with one query per slot 0 … n-1 to all positions up to its own, or to the last
        ``window`` of them. ``q``: (n, heads, head_dim), rows strided → (n, heads·head_dim)."""
        rows, tokens = q.shape[0], kv.shape[3]
        if not q.is_cuda:  # a graph is of all contexts
            tokens = context_bucket(int(positions.max()) + 1, tokens)
        keys, values = kv[:, :rows, :, :tokens]
        reach = reached(positions.clamp(min=0), tokens, window)
        attended = scaled_dot_product_attention(
            q[:, :, None], keys, values, reach[:, None, None], enable_gqa=True
        )
        return attended.reshape(rows, -1)

    def attend_prompts(
        self, qkv: Tensor, kv_heads: int, bounds: Tensor, window: int | None = None
    ) -> Tensor:
        """Attend from each token to those of its prompt up to itself, or to the last ``window`` of
        them. ``qkv``: (tokens, q + k + v heads, head_dim), rotated → (tokens, heads·head_dim).
        ``bounds`` (int32): prompt n has the tokens from bounds[n] to bounds[n + 1], at most
        ``LONGEST_PIECE``."""
        tokens, heads = len(qkv), qkv.shape[1] - 2 * kv_heads
        own = torch.arange(tokens, device=qkv.device, dtype=bounds.dtype)
        prompt = torch.searchsorted(bounds, own, right=True)
        mine = prompt[::TILE, None] == prompt
        reach = reached(own, tokens, window).view(-1, TILE, tokens) & mine[:, None]
        q, k, v = torch.split(qkv, [heads, kv_heads, kv_heads], 1)
        # What is not a tile's own is taken away, not masked: it may be NaN, and zero times NaN is.
        keys, values = (each.where(mine[..., None, None], 0).transpose(1, 2) for each in (k, v))
        queries = q.reshape(-1, TILE, *q.shape[1:]).transpose(1, 2)
        attended = scaled_dot_product_attention(
            queries, keys, values, reach[:, None], enable_gqa=True
        )
        return attended.transpose(1, 2).reshape(tokens, -1)


def _norm_heads(heads: Tensor, norm: Tensor, kv_heads: int, eps: float) -> Tensor:
    """Normalize ``heads`` (tokens, q + k heads, head_dim) with the rows of ``norm``."""
    q, k = heads[:, :-kv_heads], heads[:, -kv_heads:]
    return torch.cat(
        [rms_norm(q, norm[0].shape, norm[0], eps), rms_norm(k, norm[1].shape, norm[1], eps)], 1
    )


def ops_for(device: str) -> TorchOps:
    """Return the Triton operations where they can run, else plain torch."""
    if torch.device(device).type == "cuda":
        try:
            from .triton_ops import TritonOps
        except ImportError:
            return TorchOps()
        return TritonOps()
    return TorchOps()
