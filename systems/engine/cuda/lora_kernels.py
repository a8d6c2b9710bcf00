"""Kernels that add each row's own B·A·x, whatever adapters the rows have (S-LoRA's and Punica's
gathered products, Chen et al., MLSys 2024).

Two launches: *shrink* computes A·x in float32, *expand* adds B times that. A program works for one
row, or for rows of one sequence, and finds the adapter by the number of its place; it reads only
the ranks that the adapter has. Number 0 is the backbone alone: such a program ends at once. No
program reads what belongs to another row, and sums have a fixed order, so a row's result depends on
that row, its adapter and the launch's shape alone.
"""

# Triton's kernels are typed by its compiler, not by annotations.
# mypy: ignore-errors
# ruff: noqa: N803

import triton
import triton.language as tl

from .dependent_launch import wait


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
    """low (rows, ranks) = A·x, for ``x`` (rows, INNER) and ``a`` (places, ranks, INNER). One
    program per row and BLOCK_R ranks. NORM: x is first normalized (RMS) with ``norm`` (INNER,)."""
    wait(EARLY)
    row = tl.program_id(0).to(tl.int64)
    place = tl.load(numbers + row) - 1
    if place >= 0:
        used = tl.load(bounds + place * (SPANS + 1) + SPANS)
        if tl.program_id(1) * BLOCK_R < used:
            rank = tl.program_id(1) * BLOCK_R + tl.arange(0, BLOCK_R)
            there = rank < used
            start = a + place * place_stride + rank.to(tl.int64)[:, None] * INNER
            total = tl.zeros((BLOCK_R, BLOCK_K), tl.float32)
            squares = tl.zeros((BLOCK_K,), tl.float32)
            for step in tl.static_range((INNER + BLOCK_K - 1) // BLOCK_K):
                column = step * BLOCK_K + tl.arange(0, BLOCK_K)
                inside = column < INNER
                value = tl.load(x + row * INNER + column, mask=inside, other=0.0).to(tl.float32)
                if NORM:
                    squares += value * value
                    value *= tl.load(norm + column, mask=inside, other=0.0).to(tl.float32)
                mask = there[:, None] & inside[None, :]
                w = tl.load(start + column[None, :], mask=mask, other=0.0)
                total += w.to(tl.float32) * value[None, :]
            found = tl.sum(total, 1)
            if NORM:
                found = found * tl.rsqrt(tl.sum(squares, 0) / INNER + eps)
            tl.store(low + row * ranks + rank, found, mask=there)


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
    """y (rows, OUT) += B·low, for ``b`` (places, rank, COLUMNS). One program per row, span and
    BLOCK_N of its columns."""
    wait(EARLY)
    row, span = tl.program_id(0).to(tl.int64), tl.program_id(1)
    place = tl.load(numbers + row) - 1
    start = tl.where(span == 0, START_0, tl.where(span == 1, START_1, START_2))
    size = tl.where(span == 0, SIZE_0, tl.where(span == 1, SIZE_1, SIZE_2))
    first = tl.where(span == 0, 0, tl.where(span == 1, SIZE_0, SIZE_0 + SIZE_1))
    if place >= 0:
        begin = tl.load(bounds + place * (SPANS + 1) + span)
        used = tl.load(bounds + place * (SPANS + 1) + span + 1) - begin
        column = tl.program_id(2) * BLOCK_N + tl.arange(0, BLOCK_N)
        inside = (column < size) & (used > 0)
        total = tl.zeros((BLOCK_N,), tl.float32)
        for step in range(0, used, BLOCK_R):
            rank = step + tl.arange(0, BLOCK_R)
            there = rank < used
            h = tl.load(low + row * ranks + begin + rank, mask=there, other=0.0)
            at = b + place * place_stride + rank[:, None] * COLUMNS + first + column[None, :]
            up = tl.load(at, mask=there[:, None] & inside[None, :], other=0.0)
            total += tl.sum(up.to(tl.float32) * h[:, None], 0)
        out = y + row * OUT + start + column
        total += tl.load(out, mask=inside, other=0.0).to(tl.float32)
        tl.store(out, total.to(y.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["length", "blocks"])
def shrink_prompts(
    x,
    numbers,
    a,
    bounds,
    low,
    length,
    blocks,
    ranks,
    split_stride,
    place_stride,
    INNER: tl.constexpr,
    SPANS: tl.constexpr,
    SPAN_K: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EARLY: tl.constexpr,
):
    """low (splits, rows, ranks) = A·x over SPAN_K columns a split; ``length`` rows a sequence. One
    program per BLOCK_M rows of a sequence (it has ``blocks`` of these), BLOCK_R ranks and split."""
    wait(EARLY)
    sequence, block = tl.program_id(0) // blocks, tl.program_id(0) % blocks
    split = tl.program_id(2)
    place = tl.load(numbers + sequence) - 1
    if place >= 0:
        used = tl.load(bounds + place * (SPANS + 1) + SPANS)
        if tl.program_id(1) * BLOCK_R < used:
            token = block * BLOCK_M + tl.arange(0, BLOCK_M)
            row = sequence.to(tl.int64) * length + token
            rank = tl.program_id(1) * BLOCK_R + tl.arange(0, BLOCK_R)
            mine, there = token < length, rank < used
            total = tl.zeros((BLOCK_M, BLOCK_R), tl.float32)
            for step in range(0, SPAN_K, BLOCK_K):
                column = split * SPAN_K + step + tl.arange(0, BLOCK_K)
                inside = column < INNER
                left = tl.load(
                    x + row[:, None] * INNER + column[None, :],
                    mask=mine[:, None] & inside[None, :],
                    other=0.0,
                )
                right = tl.load(
                    a + place * place_stride + rank[None, :] * INNER + column[:, None],
                    mask=there[None, :] & inside[:, None],
                    other=0.0,
                )
                total = tl.dot(left, right, total, input_precision="ieee")
            out = low + split.to(tl.int64) * split_stride + row[:, None] * ranks + rank[None, :]
            tl.store(out, total, mask=mine[:, None] & there[None, :])


@triton.jit(do_not_specialize=["length", "blocks"])
def expand_prompts(
    y,
    numbers,
    b,
    bounds,
    low,
    length,
    blocks,
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
    EARLY: tl.constexpr,
):
    """y (rows, OUT) += B·low, the sum over SPLITS. One program per BLOCK_M rows of a sequence, span
    and BLOCK_N of its columns."""
    wait(EARLY)
    sequence, block = tl.program_id(0) // blocks, tl.program_id(0) % blocks
    span = tl.program_id(1)
    place = tl.load(numbers + sequence) - 1
    start = tl.where(span == 0, START_0, tl.where(span == 1, START_1, START_2))
    size = tl.where(span == 0, SIZE_0, tl.where(span == 1, SIZE_1, SIZE_2))
    first = tl.where(span == 0, 0, tl.where(span == 1, SIZE_0, SIZE_0 + SIZE_1))
    if place >= 0:
        begin = tl.load(bounds + place * (SPANS + 1) + span)
        used = tl.load(bounds + place * (SPANS + 1) + span + 1) - begin
        token = block * BLOCK_M + tl.arange(0, BLOCK_M)
        row = sequence.to(tl.int64) * length + token
        column = tl.program_id(2) * BLOCK_N + tl.arange(0, BLOCK_N)
        mine, inside = token < length, (column < size) & (used > 0)
        total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for step in range(0, used, BLOCK_R):
            rank = step + tl.arange(0, BLOCK_R)
            there = rank < used
            at = low + row[:, None] * ranks + begin + rank[None, :]
            h = tl.zeros((BLOCK_M, BLOCK_R), tl.float32)
            for split in tl.static_range(SPLITS):
                part = at + split * split_stride
                h += tl.load(part, mask=mine[:, None] & there[None, :], other=0.0)
            up = tl.load(
                b + place * place_stride + rank[:, None] * COLUMNS + first + column[None, :],
                mask=there[:, None] & inside[None, :],
                other=0.0,
            )
            total = tl.dot(h.to(up.dtype), up, total, input_precision="ieee")
        out = y + row[:, None] * OUT + start + column[None, :]
        mask = mine[:, None] & inside[None, :]
        total += tl.load(out, mask=mask, other=0.0).to(tl.float32)
        tl.store(out, total.to(y.dtype.element_ty), mask=mask)
