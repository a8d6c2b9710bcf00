"""The operations of ``ops`` as one Triton launch each (attention of few rows: two), but attention
of prompts, which torch has."""

from __future__ import annotations

import torch
from torch import Tensor

from . import triton_kernels as kernels
from .buckets import LONGEST_PIECE
from .dependent_launch import options as early
from .ops import PLAIN_HEADS, Adapter, HeadWeights, LoraPlaces, TorchOps
from .row_kernels import row_product
from .triton_lora import add_lora, inner_block, power_of_two, shrink_rows, span_constants

ATTENTION_BLOCK = 64
ROTATED_HEADS = 8
WANTED_PROGRAMS = 264  # two per multiprocessor of an H100
SHORT = 256  # tokens of a context
NO_WINDOW = 1 << 30  # positions
LARGEST_HEAD = 256  # of FlashAttention, which takes multiples of 8
# A program's matrix block, with inner_block(): about the best of 14 for each matrix of a 7B.
ROWS = 2
NO_SPANS = {"SPANS": 0} | {f"{what}_{index}": 0 for what in ("START", "SIZE") for index in range(3)}


class TritonOps(TorchOps):
    """Tensors on one CUDA device; fp16 or bf16 in memory, float32 in registers."""

    leaves_padding = True

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        rows, hidden = x.shape
        out = torch.empty_like(x)
        block = power_of_two(hidden)
        kernels.rms_norm[(rows,)](
            x, x, weight, out, hidden, eps, ADD=False, BLOCK=block, num_warps=8, **early()
        )
        return out

    def add_norm(self, x: Tensor, y: Tensor, weight: Tensor, eps: float) -> Tensor:
        rows, hidden = x.shape
        out = torch.empty_like(x)
        block = power_of_two(hidden)
        kernels.rms_norm[(rows,)](
            x, y, weight, out, hidden, eps, ADD=True, BLOCK=block, num_warps=8, **early()
        )
        return out

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        rows, inner = gate_up.shape[0], gate_up.shape[1] // 2
        out = gate_up.new_empty(rows, inner)
        grid = (rows, -(-inner // 1024))
        kernels.silu_mul[grid](gate_up, out, inner, BLOCK=1024, num_warps=4, **early())
        return out

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
        """One launch, or two with an adapter."""
        if gate and adapter is not None:
            y = self.silu_mul(self.row_product(x, weight, norm=norm, eps=eps, adapter=adapter))
            return y if onto is None else onto.add_(y)
        outputs = weight.shape[0] // (2 if gate else 1)
        out = x.new_empty(1, outputs) if onto is None else onto
        _launch(x, norm, eps, weight, adapter, out, gate=gate, add=onto is not None)
        return out

    def add_lora(
        self, y: Tensor, x: Tensor, lora: LoraPlaces, numbers: Tensor, single: int = 0
    ) -> Tensor:
        return add_lora(y, x, lora, numbers, single)

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
        tokens, heads, head_dim = qkv.shape
        kernels.rotate_and_store[(tokens, -(-heads // ROTATED_HEADS))](
            qkv,
            cos,
            sin,
            positions,
            slots,
            kv,
            qkv if extras.bias is None else extras.bias,
            qkv if extras.norm is None else extras.norm,
            extras.eps,
            heads - 2 * kv.shape[2],
            kv.shape[2],
            qkv.stride(0),
            kv.stride(0),
            kv.stride(1),
            kv.stride(2),
            BIAS=extras.bias is not None,
            NORM=extras.norm is not None,
            HALF=head_dim // 2,
            BLOCK=power_of_two(head_dim // 2),
            HEADS=ROTATED_HEADS,
            num_warps=4,
            **early(),
        )

    def attend(self, q: Tensor, kv: Tensor, positions: Tensor, window: int | None = None) -> Tensor:
        rows, heads, head_dim = q.shape
        kv_heads, most = kv.shape[2], -(-kv.shape[3] // ATTENTION_BLOCK)
        parts = min(most, -(-WANTED_PROGRAMS // (rows * kv_heads)))
        out = q.new_empty(rows, heads * head_dim)
        partial = weights = out
        if parts > 1:
            partial = q.new_empty(rows, heads, parts, head_dim, dtype=torch.float32)
            weights = q.new_empty(rows, heads, parts, 2, dtype=torch.float32)
        group, block = heads // kv_heads, power_of_two(head_dim)
        # The heads of a group share reads of keys and values where enough programs have work.
        members = group if rows * kv_heads * _busy(parts) >= WANTED_PROGRAMS else 1
        kernels.attend_part[(rows, heads // members, parts)](
            q,
            kv,
            positions,
            partial,
            weights,
            out,
            head_dim**-0.5,
            NO_WINDOW if window is None else window,
            heads,
            parts,
            q.stride(0),
            kv.stride(0),
            kv.stride(1),
            kv.stride(2),
            ALONE=parts == 1,
            GROUP=group,
            MEMBERS=members,
            HEAD_DIM=head_dim,
            BLOCK_D=block,
            BLOCK_T=ATTENTION_BLOCK,
            num_warps=2,
            **early(),
        )
        if parts == 1:
            return out
        kernels.attend_sum[(rows, heads)](
            partial,
            weights,
            out,
            heads,
            parts,
            HEAD_DIM=head_dim,
            BLOCK_D=block,
            BLOCK_P=power_of_two(parts),
            num_warps=1,
            **early(),
        )
        return out

    def attend_prompts(
        self, qkv: Tensor, kv_heads: int, bounds: Tensor, window: int | None = None
    ) -> Tensor:
        """One launch of FlashAttention (Dao, 2023), where it has one for the heads."""
        size = qkv.shape[2]
        if qkv.dtype == torch.float32 or size % 8 or size > LARGEST_HEAD:
            return super().attend_prompts(qkv, kv_heads, bounds, window)
        tokens, heads = len(qkv), qkv.shape[1] - 2 * kv_heads
        longest = min(tokens, LONGEST_PIECE)
        attended: Tensor = torch.ops.aten._flash_attention_forward(
            *torch.split(qkv, [heads, kv_heads, kv_heads], 1),
            bounds,
            bounds,
            longest,
            longest,
            0.0,
            True,
            False,
            window_size_left=-1 if window is None else window - 1,
            window_size_right=0,
        )[0]
        return attended.reshape(tokens, -1)


def _busy(parts: int) -> int:
    """Return how many of ``parts`` have work in a ``SHORT`` context."""
    span = -(-SHORT // (parts * ATTENTION_BLOCK)) * ATTENTION_BLOCK
    return -(-SHORT // span)


def _launch(
    x: Tensor,
    norm: Tensor | None,
    eps: float,
    weight: Tensor,
    adapter: Adapter | None,
    out: Tensor,
    *,
    gate: bool,
    add: bool,
) -> None:
    inner, outputs = weight.shape[1], out.numel()
    number = low = b = bounds = weight  # not read without an adapter
    stride, of_adapter = 0, {"RANKS": 0, "COLUMNS": 0, **NO_SPANS}
    if adapter is not None:
        lora, number = adapter
        low, b, bounds = shrink_rows(x, lora, number, norm, eps), lora.b, lora.bounds
        stride = b.stride(0)
        sizes = {"RANKS": power_of_two(b.shape[1]), "COLUMNS": b.shape[2]}
        of_adapter = {**sizes, **span_constants(lora)}
    row_product[(-(-outputs // ROWS),)](
        x,
        x if norm is None else norm,
        eps,
        weight,
        number,
        low,
        b,
        bounds,
        out,
        outputs,
        stride,
        INNER=inner,
        NORM=norm is not None,
        GATE=gate,
        **of_adapter,
        ADD=add,
        BLOCK_N=ROWS,
        BLOCK_K=inner_block(inner),
        num_warps=4,
        **early(),
    )
