"""Kernels that add each row's own B·A·x, whatever adapters the rows have (S-LoRA's and Punica's
gathered products, Chen et al., MLSys 2024), in two launches, shrink and expand (``lora_programs``):
of rows, or of a pass over prompts, before whose sequences there may be single rows.
"""

# Triton's kernels are typed by its compiler, not by annotations.
# mypy: ignore-errors
# ruff: noqa: N803

import triton
import triton.language as tl

from .dependent_launch import wait
from .lora_programs import expand_block, expand_row, shrink_block, shrink_row


@triton.jit
def shrink_rows(
    x,
    norm,
    eps,
    numbers,
    a,
    bounds,
    low,
    ranks,
    place_stride,
    INNER: tl.constexpr,
    SPANS: tl.constexpr,
    NORM: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EARLY: tl.constexpr,
):
    """A program per row and BLOCK_R ranks."""
    wait(EARLY)
    row, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    shrink_row(
        x,
        norm,
        eps,
        numbers,
        a,
        bounds,
        low,
        ranks,
        place_stride,
        row,
        block,
        INNER,
        SPANS,
        NORM,
        BLOCK_R,
        BLOCK_K,
    )


@triton.jit
def expand_rows(
    y,
    numbers,
    b,
    bounds,
    low,
    ranks,
    place_stride,
    OUT: tl.constexpr,
    COLUMNS: tl.constexpr,
    SPANS: tl.constexpr,
    START_0: tl.constexpr,
    START_1: tl.constexpr,
    START_2: tl.constexpr,
    SIZE_0: tl.constexpr,
    SIZE_1: tl.constexpr,
    SIZE_2: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
    EARLY: tl.constexpr,
):
    """A program per row, span and BLOCK_N of its columns."""
    wait(EARLY)
    row, span, block = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    expand_row(
        y,
        numbers,
        b,
        bounds,
        low,
        ranks,
        place_stride,
        row,
        span,
        block,
        OUT,
        COLUMNS,
        SPANS,
        START_0,
        START_1,
        START_2,
        SIZE_0,
        SIZE_1,
        SIZE_2,
        BLOCK_R,
        BLOCK_N,
    )


@triton.jit(do_not_specialize=["single", "length", "blocks", "of_sequences"])
def shrink_pass(
    x,
    numbers,
    a,
    bounds,
    low,
    single,
    length,
    blocks,
    of_sequences,
    ranks,
    split_stride,
    place_stride,
    INNER: tl.constexpr,
    SPANS: tl.constexpr,
    SPLITS: tl.constexpr,
    SPAN_K: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_K: tl.constexpr,
    ROW_R: tl.constexpr,
    ROW_K: tl.constexpr,
    EARLY: tl.constexpr,
):
    """A program per BLOCK_M rows of a sequence, which has ``blocks`` of these, BLOCK_R ranks and
    split, ``of_sequences`` in all; then one per single row and ROW_R ranks, whose A·x is whole in
    the first split."""
    wait(EARLY)
    program = tl.program_id(0)
    if program < of_sequences:
        split, other = program % SPLITS, program // SPLITS
        rank_blocks = tl.cdiv(ranks, BLOCK_R)
        part = other // rank_blocks
        shrink_block(
            x,
            numbers,
            a,
            bounds,
            low,
            single,
            length,
            ranks,
            split_stride,
            place_stride,
            part // blocks,
            part % blocks,
            other % rank_blocks,
            split,
            INNER,
            SPANS,
            SPAN_K,
            BLOCK_M,
            BLOCK_R,
            BLOCK_K,
        )
    else:
        of_row = program - of_sequences
        row_blocks = tl.cdiv(ranks, ROW_R)
        row = (of_row // row_blocks).to(tl.int64)
        block = of_row % row_blocks
        shrink_row(
            x,
            x,
            0.0,
            numbers,
            a,
            bounds,
            low,
            ranks,
            place_stride,
            row,
            block,
            INNER,
            SPANS,
            False,
            ROW_R,
            ROW_K,
        )


@triton.jit(do_not_specialize=["single", "length", "blocks", "of_sequences"])
def expand_pass(
    y,
    numbers,
    b,
    bounds,
    low,
    single,
    length,
    blocks,
    of_sequences,
    ranks,
    split_stride,
    place_stride,
    OUT: tl.constexpr,
    COLUMNS: tl.constexpr,
    SPANS: tl.constexpr,
    START_0: tl.constexpr,
    START_1: tl.constexpr,
    START_2: tl.constexpr,
    SIZE_0: tl.constexpr,
    SIZE_1: tl.constexpr,
    SIZE_2: tl.constexpr,
    SPLITS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
    ROW_R: tl.constexpr,
    ROW_N: tl.constexpr,
    WIDEST: tl.constexpr,
    EARLY: tl.constexpr,
):
    """A program per BLOCK_M rows of a sequence, span and BLOCK_N of its columns, of which the
    widest has WIDEST, ``of_sequences`` in all; then one per single row, span and ROW_N columns."""
    wait(EARLY)
    program = tl.program_id(0)
    if program < of_sequences:
        wide = tl.cdiv(WIDEST, BLOCK_N)
        other = program // wide
        part = other // SPANS
        expand_block(
            y,
            numbers,
            b,
            bounds,
            low,
            single,
            length,
            ranks,
            split_stride,
            place_stride,
            part // blocks,
            part % blocks,
            other % SPANS,
            program % wide,
            OUT,
            COLUMNS,
            SPANS,
            START_0,
            START_1,
            START_2,
            SIZE_0,
            SIZE_1,
            SIZE_2,
            SPLITS,
            BLOCK_M,
            BLOCK_R,
            BLOCK_N,
        )
    else:
        row_wide = tl.cdiv(WIDEST, ROW_N)
        of_row = program - of_sequences
        of_span = of_row // row_wide
        expand_row(
            y,
            numbers,
            b,
            bounds,
            low,
            ranks,
            place_stride,
            (of_span // SPANS).to(tl.int64),
            of_span % SPANS,
            of_row % row_wide,
            OUT,
            COLUMNS,
            SPANS,
            START_0,
            START_1,
            START_2,
            SIZE_0,
            SIZE_1,
            SIZE_2,
            ROW_R,
            ROW_N,
        )
