"""Launches the kernels that add adapters, with blocks chosen on an H100 for rows, on an H200 for
passes over prompts."""

from __future__ import annotations

import torch
from torch import Tensor

from . import lora_kernels as kernels
from .dependent_launch import options as early
from .ops import LoraPlaces

ROW_RANKS, ROW_COLUMNS, ROW_INNER = 2, 256, 2048
# Of a pass over prompts: rows, columns and warps of a program, and columns of a single row. About
# the best of 28 for passes of 1 to 16 tiles of a 7B.
SHRINK_ROWS, SHRINK_INNER, SHRINK_WARPS = 16, 128, 4
EXPAND_ROWS, EXPAND_COLUMNS, EXPAND_WARPS = 16, 256, 4
SINGLE_COLUMNS = 1024
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


def add_lora(y: Tensor, x: Tensor, lora: LoraPlaces, numbers: Tensor, single: int) -> Tensor:
    """:meth:`TorchOps.add_lora` in two launches."""
    if len(x) == len(numbers):
        _add_to_rows(y, x, lora, numbers)
    else:
        _add_to_prompts(y, x, lora, numbers, single)
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
    grid = len(x), len(lora.spans), -(-_widest(lora) // ROW_COLUMNS)
    kernels.expand_rows[grid](
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


def _add_to_prompts(y: Tensor, x: Tensor, lora: LoraPlaces, numbers: Tensor, single: int) -> None:
    sequences = len(numbers) - single
    length = (len(x) - single) // sequences
    low = _shrink_prompts(x, lora, numbers, single, sequences, length)
    _expand_prompts(y, low, lora, numbers, single, sequences, length)


def _shrink_prompts(
    x: Tensor, lora: LoraPlaces, numbers: Tensor, single: int, sequences: int, length: int
) -> Tensor:
    (rows, inner), ranks = x.shape, lora.a.shape[1]
    blocks, block_r = -(-length // SHRINK_ROWS), _rank_block(ranks)
    low = x.new_empty(SPLITS, rows, ranks, dtype=torch.float32)
    of_sequences = sequences * blocks * -(-ranks // block_r) * SPLITS
    kernels.shrink_pass[(of_sequences + single * -(-ranks // ROW_RANKS),)](
        x,
        numbers,
        lora.a,
        lora.bounds,
        low,
        single,
        length,
        blocks,
        of_sequences,
        ranks,
        low.stride(0),
        lora.a.stride(0),
        INNER=inner,
        SPANS=len(lora.spans),
        SPLITS=SPLITS,
        SPAN_K=-(-inner // (SPLITS * SHRINK_INNER)) * SHRINK_INNER,
        BLOCK_M=SHRINK_ROWS,
        BLOCK_R=block_r,
        BLOCK_K=SHRINK_INNER,
        ROW_R=ROW_RANKS,
        ROW_K=inner_block(inner),
        num_warps=SHRINK_WARPS,
        **early(),
    )
    return low


def _expand_prompts(
    y: Tensor,
    low: Tensor,
    lora: LoraPlaces,
    numbers: Tensor,
    single: int,
    sequences: int,
    length: int,
) -> None:
    blocks, spans, widest = -(-length // EXPAND_ROWS), len(lora.spans), _widest(lora)
    of_sequences = sequences * blocks * spans * -(-widest // EXPAND_COLUMNS)
    kernels.expand_pass[(of_sequences + single * spans * -(-widest // SINGLE_COLUMNS),)](
        y,
        numbers,
        lora.b,
        lora.bounds,
        low,
        single,
        length,
        blocks,
        of_sequences,
        low.shape[2],
        low.stride(0),
        lora.b.stride(0),
        OUT=y.shape[1],
        COLUMNS=lora.b.shape[2],
        **span_constants(lora),
        SPLITS=len(low),
        BLOCK_M=EXPAND_ROWS,
        BLOCK_R=_rank_block(lora.b.shape[1]),
        BLOCK_N=EXPAND_COLUMNS,
        ROW_R=FEWEST,
        ROW_N=SINGLE_COLUMNS,
        WIDEST=widest,
        num_warps=EXPAND_WARPS,
        **early(),
    )


def _widest(lora: LoraPlaces) -> int:
    return max(span.size for span in lora.spans)


def _rank_block(ranks: int) -> int:
    return min(MOST_RANKS, max(FEWEST, power_of_two(ranks)))
