"""What a program of the kernels that add adapters does (``lora_kernels``): *shrink* computes A·x in
float32, *expand* adds B times that, for a row, or by tensor cores for a block of rows of one
sequence.

A program finds the adapter by the number of its place, and reads only the ranks that the adapter
has. Number 0 is the backbone alone: such a program ends at once. No program reads what belongs to
another sequence, no row's sum has a part of another row, and sums have a fixed order, so a row's
result depends on that row, its adapter and the launch's shape alone.
"""

# Triton's kernels are typed by its compiler, not by annotations.
# mypy: ignore-errors
# ruff: noqa: N803

import triton
import triton.language as tl


@triton.jit
def shrink_row(
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
    INNER: tl.constexpr,
    SPANS: tl.constexpr,
    NORM: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """low (rows, ranks) = A·x of ``row`` and its ``block``-th BLOCK_R ranks, for ``x`` (rows,
    INNER) and ``a`` (places, ranks, INNER). NORM: x is first normalized (RMS) with ``norm``
    (INNER,)."""
    place = tl.load(numbers + row) - 1
    if place >= 0:
        used = tl.load(bounds + place * (SPANS + 1) + SPANS)
        if block * BLOCK_R < used:
            rank = block * BLOCK_R + tl.arange(0, BLOCK_R)
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
def shrink_block(
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
    sequence,
    block,
    rank_block,
    split,
    INNER: tl.constexpr,
    SPANS: tl.constexpr,
    SPAN_K: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """low (splits, rows, ranks) = A·x over the ``split``-th SPAN_K columns, of the ``block``-th
    BLOCK_M rows of a sequence and the ``rank_block``-th BLOCK_R ranks. Sequences have ``length``
    rows each, after ``single`` rows of none."""
    place = tl.load(numbers + single + sequence) - 1
    if place >= 0:
        used = tl.load(bounds + place * (SPANS + 1) + SPANS)
        if rank_block * BLOCK_R < used:
            token = block * BLOCK_M + tl.arange(0, BLOCK_M)
            row = single + sequence.to(tl.int64) * length + token
            rank = rank_block * BLOCK_R + tl.arange(0, BLOCK_R)
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


@triton.jit
def expand_row(
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
):
    """y (rows, OUT) += B·low of ``row`` and the ``block``-th BLOCK_N columns of a span, for ``b``
    (places, rank, COLUMNS)."""
    place = tl.load(numbers + row) - 1
    start = tl.where(span == 0, START_0, tl.where(span == 1, START_1, START_2))
    size = tl.where(span == 0, SIZE_0, tl.where(span == 1, SIZE_1, SIZE_2))
    first = tl.where(span == 0, 0, tl.where(span == 1, SIZE_0, SIZE_0 + SIZE_1))
    if place >= 0:
        begin = tl.load(bounds + place * (SPANS + 1) + span)
        used = tl.load(bounds + place * (SPANS + 1) + span + 1) - begin
        column = block * BLOCK_N + tl.arange(0, BLOCK_N)
        inside = (column < size) & (used > 0)
        out = y + row * OUT + start + column
        before = tl.load(out, mask=inside, other=0.0)
        total = tl.zeros((BLOCK_N,), tl.float32)
        for step in range(0, used, BLOCK_R):
            rank = step + tl.arange(0, BLOCK_R)
            there = rank < used
            h = tl.load(low + row * ranks + begin + rank, mask=there, other=0.0)
            at = b + place * place_stride + rank[:, None] * COLUMNS + first + column[None, :]
            up = tl.load(at, mask=there[:, None] & inside[None, :], other=0.0)
            total += tl.sum(up.to(tl.float32) * h[:, None], 0)
        total += before.to(tl.float32)
        tl.store(out, total.to(y.dtype.element_ty), mask=inside)


@triton.jit
def expand_block(
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
    sequence,
    block,
    span,
    column_block,
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
):
    """y (rows, OUT) += B·low, the sum over SPLITS, of the ``block``-th BLOCK_M rows of a sequence
    and the ``column_block``-th BLOCK_N columns of a span."""
    place = tl.load(numbers + single + sequence) - 1
    start = tl.where(span == 0, START_0, tl.where(span == 1, START_1, START_2))
    size = tl.where(span == 0, SIZE_0, tl.where(span == 1, SIZE_1, SIZE_2))
    first = tl.where(span == 0, 0, tl.where(span == 1, SIZE_0, SIZE_0 + SIZE_1))
    if place >= 0:
        begin = tl.load(bounds + place * (SPANS + 1) + span)
        used = tl.load(bounds + place * (SPANS + 1) + span + 1) - begin
        token = block * BLOCK_M + tl.arange(0, BLOCK_M)
        row = single + sequence.to(tl.int64) * length + token
        column = column_block * BLOCK_N + tl.arange(0, BLOCK_N)
        mine, inside = token < length, (column < size) & (used > 0)
        out = y + row[:, None] * OUT + start + column[None, :]
        mask = mine[:, None] & inside[None, :]
        before = tl.load(out, mask=mask, other=0.0)
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
        total += before.to(tl.float32)
        tl.store(out, total.to(y.dtype.element_ty), mask=mask)
