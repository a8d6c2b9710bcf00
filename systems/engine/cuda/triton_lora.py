"""Launches the kernels that add adapters, with blocks chosen for an H100."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import lora_kernels as kernels
from .dependent_launch import options as early
from .ops import LoraPlaces

ROW_RANKS, ROW_COLUMNS, ROW_INNER = 2, 256, 2048
PROMPT_ROWS, PROMPT_COLUMNS, PROMPT_INNER = 64, 128, 64
FEWEST, MOST_RANKS = 16, 64  # a block of a tensor-core product
# A·x of prompts is summed in parts, since it has few outputs to keep a device busy with. Their
# number is fixed: another one would be another kernel, compiled while a request waits.
SPLITS = 4


def power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()


def inner_block(inner: int) -> int:
    """Return how many elements of a row a program reads at once."""
    return min(power_of_two(inner), ROW_INNER if inner % ROW_INNER == 0 else ROW_INNER // 2)


def span_constants(lora: LoraPlaces) -> dict[str, int]:
    """Return where the spans are, as constants of a kernel: START_0 … SIZE_2."""
    found = {"SPANS": len(lora.spans)}
    for index, (start, size) in enumerate(
        [*((span.start, span.size) for span in lora.spans), (0, 0), (0, 0)][:3]
    ):
        found |= {f"START_{index}": start, f"SIZE_{index}": size}
    return found


def add_lora(y: Tensor, x: Tensor, lora: LoraPlaces, numbers: Tensor) -> Tensor:
    """:meth:`TorchOps.add_lora` in two launches."""
    add = _add_to_rows if len(x) == len(numbers) else _add_to_prompts
    add(y, x, lora, numbers)
    return y


def shrink_rows(
    x: Tensor, lora: LoraPlaces, numbers: Tensor, norm: Tensor | None = None, eps: float = 0.0
) -> Tensor:
    """Return A·x of each row's own adapter, (rows, ranks) float32; what the adapter lacks is
    undefined. ``norm``: normalize ``x`` first."""
    rows, inner = x.shape
    ranks = lora.a.shape[1]
    low = x.new_empty(rows, ranks, dtype=torch.float32)
    kernels.shrink_rows[(rows, -(-ranks // ROW_RANKS))](
        x,
        x if norm is None else norm,
        eps,
        numbers,
        lora.a,
        lora.bounds,
        low,
        ranks,
        lora.a.stride(0),
        INNER=inner,
        SPANS=len(lora.spans),
        NORM=norm is not None,
        BLOCK_R=ROW_RANKS,
        BLOCK_K=inner_block(inner),
        num_warps=4,
        **early(),
    )
    return low


def _add_to_rows(y: Tensor, x: Tensor, lora: LoraPlaces, numbers: Tensor) -> None:
    low = shrink_rows(x, lora, numbers)
    kernels.expand_rows[_columns(lora, len(x), ROW_COLUMNS)](
        y,
        numbers,
        lora.b,
        lora.bounds,
        low,
        low.shape[1],
        lora.b.stride(0),
        OUT=y.shape[1],
        COLUMNS=lora.b.shape[2],
        **span_constants(lora),
        BLOCK_R=FEWEST,
        BLOCK_N=ROW_COLUMNS,
        num_warps=1,  # each thread sums its columns over the ranks, without shared memory
        **early(),
    )


def _add_to_prompts(y: Tensor, x: Tensor, lora: LoraPlaces, numbers: Tensor) -> None:
    (rows, inner), ranks = x.shape, lora.a.shape[1]
    length = rows // len(numbers)
    blocks = -(-length // PROMPT_ROWS)
    programs = len(numbers) * blocks
    block_r = _rank_block(ranks)
    low = x.new_empty(SPLITS, rows, ranks, dtype=torch.float32)
    where: tuple[Any, ...] = (lora.bounds, low, length, blocks, ranks, low.stride(0))
    kernels.shrink_prompts[(programs, -(-ranks // block_r), SPLITS)](
        x,
        numbers,
        lora.a,
        *where,
        lora.a.stride(0),
        INNER=inner,
        SPANS=len(lora.spans),
        SPAN_K=-(-inner // (SPLITS * PROMPT_INNER)) * PROMPT_INNER,
        BLOCK_M=PROMPT_ROWS,
        BLOCK_R=block_r,
        BLOCK_K=PROMPT_INNER,
        num_warps=4,
        **early(),
    )
    kernels.expand_prompts[_columns(lora, programs, PROMPT_COLUMNS)](
        y,
        numbers,
        lora.b,
        *where,
        lora.b.stride(0),
        OUT=y.shape[1],
        COLUMNS=lora.b.shape[2],
        **span_constants(lora),
        SPLITS=SPLITS,
        BLOCK_M=PROMPT_ROWS,
        BLOCK_R=_rank_block(lora.b.shape[1]),
        BLOCK_N=PROMPT_COLUMNS,
        num_warps=4,
        **early(),
    )


def _columns(lora: LoraPlaces, programs: int, block: int) -> tuple[int, int, int]:
    widest = max(span.size for span in lora.spans)
    return programs, len(lora.spans), -(-widest // block)


def _rank_block(ranks: int) -> int:
    return min(MOST_RANKS, max(FEWEST, power_of_two(ranks)))
