"""Kernel for the product of one row and a matrix. At batch size 1 a decode step consists mostly of
these and is bound by reading the weights once. The operations before and after the product are
fused, since a separate launch costs about a twentieth of the product."""

# Triton's kernels are typed by its compiler, not by annotations.
# mypy: ignore-errors
# ruff: noqa: N803

import triton
import triton.language as tl

from .dependent_launch import wait


@triton.jit
def row_product(
    x,
    norm,
    eps,
    weight,
    number,
    low,
    b,
    bounds,
    out,
    outputs,
    place_stride,
    INNER: tl.constexpr,
    NORM: tl.constexpr,
    GATE: tl.constexpr,
    RANKS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SPANS: tl.constexpr,
    START_0: tl.constexpr,
    START_1: tl.constexpr,
    START_2: tl.constexpr,
    SIZE_0: tl.constexpr,
    SIZE_1: tl.constexpr,
    SIZE_2: tl.constexpr,
    ADD: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EARLY: tl.constexpr,
):
    """out = W·x for ``x`` (INNER,) and W (outputs, INNER); each program computes BLOCK_N outputs.

    NORM: x is first normalized (RMS) with ``norm`` (INNER,). GATE: W is (2·outputs, INNER) and
    out = silu(W₁·x) · W₂·x. RANKS: add B·low of the adapter in place ``number``, with ``low``
    (ranks,) float32 and ``b`` (places, rank, COLUMNS); RANKS is the power of two ≥ rank, or 0. ADD:
    add to out instead of overwriting it."""
    wait(EARLY)
    row = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    there = row < outputs
    start = weight + row.to(tl.int64)[:, None] * INNER
    first = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
    second = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
    squares = tl.zeros((BLOCK_K,), tl.float32)
    for step in tl.static_range((INNER + BLOCK_K - 1) // BLOCK_K):
        column = step * BLOCK_K + tl.arange(0, BLOCK_K)
        inside = column < INNER
        mask = there[:, None] & inside[None, :]
        # Each weight is read once per step; evict it first, so that x stays cached.
        w = tl.load(start + column[None, :], mask=mask, other=0.0, eviction_policy="evict_first")
        value = tl.load(x + column, mask=inside, other=0.0).to(tl.float32)
        if NORM:
            squares += value * value
            value *= tl.load(norm + column, mask=inside, other=0.0).to(tl.float32)
        first += w.to(tl.float32) * value[None, :]
        if GATE:
            place = start + outputs.to(tl.int64) * INNER + column[None, :]
            w = tl.load(place, mask=mask, other=0.0, eviction_policy="evict_first")
            second += w.to(tl.float32) * value[None, :]
    scale = 1.0
    if NORM:
        scale = tl.rsqrt(tl.sum(squares, 0) / INNER + eps)
    found = tl.sum(first, 1) * scale
    if GATE:
        found = found * tl.sigmoid(found) * tl.sum(second, 1) * scale
    if RANKS > 0:
        place = tl.load(number) - 1
        second, third = (row >= START_1) & (SPANS > 1), (row >= START_2) & (SPANS > 2)
        span = second.to(tl.int32) + third.to(tl.int32)
        column = row - tl.where(third, START_2, tl.where(second, START_1, START_0))
        size = tl.where(third, SIZE_2, tl.where(second, SIZE_1, SIZE_0))
        first = tl.where(third, SIZE_0 + SIZE_1, tl.where(second, SIZE_0, 0))
        mine = there & (column >= 0) & (column < size) & (place >= 0)
        begin = tl.load(bounds + place * (SPANS + 1) + span, mask=mine, other=0)
        end = tl.load(bounds + place * (SPANS + 1) + span + 1, mask=mine, other=0)
        rank = tl.arange(0, RANKS)[:, None]
        used = rank < (end - begin)[None, :]
        h = tl.load(low + begin[None, :] + rank, mask=used, other=0.0)
        at = b + place * place_stride + rank * COLUMNS + (first + column)[None, :]
        up = tl.load(at, mask=used, other=0.0)
        found += tl.sum(up.to(tl.float32) * h, 0)
    if ADD:
        found += tl.load(out + row, mask=there, other=0.0).to(tl.float32)
    tl.store(out + row, found.to(out.dtype.element_ty), mask=there)
