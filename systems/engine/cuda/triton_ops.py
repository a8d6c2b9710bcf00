"""The operations of ``ops`` as one Triton launch each (attention: two)."""

from __future__ import annotations

import torch
from torch import Tensor

from . import triton_kernels as kernels
from .ops import TorchOps

ATTENTION_BLOCK = 64
WANTED_PROGRAMS = 264  # two for each multiprocessor of an H100


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()


class TritonOps(TorchOps):
    """Tensors on one CUDA device; fp16 or bf16 in memory, float32 in registers."""

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        rows, hidden = x.shape
        out = torch.empty_like(x)
        kernels.rms_norm[(rows,)](
            x, x, weight, out, hidden, eps, ADD=False, BLOCK=_power_of_two(hidden), num_warps=8
        )
        return out

    def add_norm(self, x: Tensor, y: Tensor, weight: Tensor, eps: float) -> Tensor:
        rows, hidden = x.shape
        out = torch.empty_like(x)
        kernels.rms_norm[(rows,)](
            x, y, weight, out, hidden, eps, ADD=True, BLOCK=_power_of_two(hidden), num_warps=8
        )
        return out

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        rows, inner = gate_up.shape[0], gate_up.shape[1] // 2
        out = gate_up.new_empty(rows, inner)
        grid = (rows, -(-inner // 1024))
        kernels.silu_mul[grid](gate_up, out, inner, BLOCK=1024, num_warps=4)
        return out

    def rotate_and_store(
        self,
        qkv: Tensor,
        cos: Tensor,
        sin: Tensor,
        positions: Tensor,
        slots: Tensor,
        kv: Tensor,
    ) -> None:
        tokens, heads, head_dim = qkv.shape
        kernels.rotate_and_store[(tokens, heads)](
            qkv,
            cos,
            sin,
            positions,
            slots,
            kv,
            heads - 2 * kv.shape[2],
            kv.shape[2],
            qkv.stride(0),
            kv.stride(0),
            kv.stride(1),
            kv.stride(2),
            HALF=head_dim // 2,
            BLOCK=_power_of_two(head_dim // 2),
            num_warps=1,
        )

    def attend(self, q: Tensor, kv: Tensor, positions: Tensor, tokens: int) -> Tensor:
        rows, heads, head_dim = q.shape
        kv_heads = kv.shape[2]
        parts = -(-WANTED_PROGRAMS // (rows * kv_heads))
        span = max(1, -(-tokens // (parts * ATTENTION_BLOCK))) * ATTENTION_BLOCK
        parts = -(-tokens // span)
        partial = q.new_empty(rows, heads, parts, head_dim, dtype=torch.float32)
        weights = q.new_empty(rows, heads, parts, 2, dtype=torch.float32)
        out = q.new_empty(rows, heads * head_dim)
        group, block = heads // kv_heads, _power_of_two(head_dim)
        kernels.attend_part[(rows, kv_heads, parts)](
            q,
            kv,
            positions,
            partial,
            weights,
            head_dim**-0.5,
            heads,
            parts,
            q.stride(0),
            kv.stride(0),
            kv.stride(1),
            kv.stride(2),
            SPAN=span,
            GROUP=group,
            HEAD_DIM=head_dim,
            BLOCK_D=block,
            BLOCK_T=ATTENTION_BLOCK,
            num_warps=4,
        )
        kernels.attend_sum[(rows, heads)](
            partial,
            weights,
            out,
            heads,
            parts,
            HEAD_DIM=head_dim,
            BLOCK_D=block,
            BLOCK_P=_power_of_two(parts),
            num_warps=1,
        )
        return out
