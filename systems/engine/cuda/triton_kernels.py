"""The Triton kernels. Shapes and meaning are those of ``ops``; all sums are float32.

Attention of decode steps is split over the context (flash decoding, Dao et al., 2023), because at
batch size 1 there are fewer heads than multiprocessors. Each of several parts stores its maximum
and sum, and a second launch combines them.
"""

# Triton's kernels are typed by its compiler, not by annotations.
# mypy: ignore-errors
# ruff: noqa: N803

import triton
import triton.language as tl

from .dependent_launch import wait


@triton.jit
def rms_norm(
    x, y, weight, out, hidden, eps, ADD: tl.constexpr, BLOCK: tl.constexpr, EARLY: tl.constexpr
):
    """out = norm(x), or norm(x += y). One program per row."""
    wait(EARLY)
    row = tl.program_id(0).to(tl.int64) * hidden
    column = tl.arange(0, BLOCK)
    inside = column < hidden
    value = tl.load(x + row + column, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        value += tl.load(y + row + column, mask=inside, other=0.0).to(tl.float32)
        tl.store(x + row + column, value.to(x.dtype.element_ty), mask=inside)
    scale = tl.rsqrt(tl.sum(value * value, 0) / hidden + eps)
    factor = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row + column, (value * scale * factor).to(out.dtype.element_ty), mask=inside)


@triton.jit
def silu_mul(gate_up, out, inner, BLOCK: tl.constexpr, EARLY: tl.constexpr):
    """out = silu(gate) · up. One program per row and block of columns."""
    wait(EARLY)
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < inner
    start = gate_up + row * 2 * inner + column
    gate = tl.load(start, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(start + inner, mask=inside, other=0.0).to(tl.float32)
    value = gate * tl.sigmoid(gate) * up
    tl.store(out + row * inner + column, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def rotate_and_store(
    qkv,
    cos,
    sin,
    positions,
    slots,
    kv,
    bias,
    norm,
    eps,
    heads,
    kv_heads,
    token_stride,
    kind_stride,
    slot_stride,
    head_stride,
    BIAS: tl.constexpr,
    NORM: tl.constexpr,
    HALF: tl.constexpr,
    BLOCK: tl.constexpr,
    HEADS: tl.constexpr,
    EARLY: tl.constexpr,
):
    """Rotate q and k in place and store k and v in the cache; one program per token and block of
    HEADS. A token at a position below zero is padding and is not touched. BIAS: first add ``bias``
    (heads, 2·HALF) to q, k and v; NORM: then normalize q and k (RMS) with ``norm`` (2, 2·HALF)."""
    wait(EARLY)
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)[:, None]
    column = tl.arange(0, BLOCK)[None, :]
    inside = (column < HALF) & (head < heads + 2 * kv_heads)
    start = qkv + token * token_stride + head * 2 * HALF + column
    low = tl.load(start, mask=inside, other=0.0).to(tl.float32)
    high = tl.load(start + HALF, mask=inside, other=0.0).to(tl.float32)
    if BIAS:
        added = bias + head * 2 * HALF + column
        low += tl.load(added, mask=inside, other=0.0).to(tl.float32)
        high += tl.load(added + HALF, mask=inside, other=0.0).to(tl.float32)
    position = tl.load(positions + token)
    used = inside & (position >= 0)
    first, second = low, high
    if NORM:
        factor = norm + tl.where(head < heads, 0, 2 * HALF) + column
        scale = tl.rsqrt(tl.sum(low * low + high * high, 1) / (2 * HALF) + eps)[:, None]
        first = low * scale * tl.load(factor, mask=inside, other=0.0).to(tl.float32)
        second = high * scale * tl.load(factor + HALF, mask=inside, other=0.0).to(tl.float32)
    table, there = position * 2 * HALF + column, (column < HALF) & (position >= 0)
    c = tl.load(cos + table, mask=there, other=0.0)
    s = tl.load(sin + table + HALF, mask=there, other=0.0)
    turned = head < heads + kv_heads
    low, high = (
        tl.where(turned, first * c - second * s, low),
        tl.where(turned, second * c + first * s, high),
    )
    # Attention of prompts reads v from qkv too.
    changed = used if BIAS else used & turned
    tl.store(start, low.to(qkv.dtype.element_ty), mask=changed)
    tl.store(start + HALF, high.to(qkv.dtype.element_ty), mask=changed)
    kind = (head - heads) // kv_heads
    place = kv + kind.to(tl.int64) * kind_stride + tl.load(slots + token) * slot_stride
    place += ((head - heads) % kv_heads) * head_stride + position * 2 * HALF + column
    cached = used & (head >= heads)
    tl.store(place, low.to(kv.dtype.element_ty), mask=cached)
    tl.store(place + HALF, high.to(kv.dtype.element_ty), mask=cached)


@triton.jit(do_not_specialize=["window"])
def attend_part(
    q,
    kv,
    positions,
    partial,
    weights,
    out,
    scale,
    window,
    heads,
    parts,
    row_stride,
    kind_stride,
    slot_stride,
    head_stride,
    ALONE: tl.constexpr,
    GROUP: tl.constexpr,
    MEMBERS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_T: tl.constexpr,
    EARLY: tl.constexpr,
):
    """Attend with MEMBERS queries of a key head's GROUP, one after another, to one of ``parts`` of
    the context, the row's ``window`` up to its position; one program per row, MEMBERS heads and
    part. Other rows' positions do not change how it is parted. A part that nothing is left for gets
    weight zero, and so does every part of a row at a position below zero. Of several parts, the
    sums are stored; of one ALONE, their quotient in ``out``."""
    wait(EARLY)
    row, lane, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    kv_head = lane * MEMBERS // GROUP
    length = tl.load(positions + row).to(tl.int32) + 1
    first = tl.maximum(length - window, 0)
    span = tl.cdiv(tl.cdiv(length - first, parts), BLOCK_T) * BLOCK_T
    begin = first + part * span
    end = tl.minimum(begin + span, length)
    column = tl.arange(0, BLOCK_D)
    inside = column < HEAD_DIM
    base = kv + row.to(tl.int64) * slot_stride + kv_head.to(tl.int64) * head_stride
    for member in range(MEMBERS):
        head = lane * MEMBERS + member
        query = tl.load(q + row.to(tl.int64) * row_stride + head * HEAD_DIM + column, mask=inside)
        query = tl.where(inside, query.to(tl.float32) * scale, 0.0)
        highest = tl.full((), -1.0e30, tl.float32)
        total = tl.zeros((), tl.float32)
        summed = tl.zeros((BLOCK_D,), tl.float32)
        for start in range(begin, end, BLOCK_T):
            token = start + tl.arange(0, BLOCK_T)
            reach = token < end
            place = base + token[:, None] * HEAD_DIM + column[None, :]
            mask = reach[:, None] & inside[None, :]
            key = tl.load(place, mask=mask, other=0.0).to(tl.float32)
            value = tl.load(place + kind_stride, mask=mask, other=0.0).to(tl.float32)
            score = tl.where(reach, tl.sum(key * query[None, :], 1), -1.0e30)
            new = tl.maximum(highest, tl.max(score, 0))
            shrink = tl.exp(highest - new)
            weight = tl.where(reach, tl.exp(score - new), 0.0)
            total = total * shrink + tl.sum(weight, 0)
            summed = summed * shrink + tl.sum(weight[:, None] * value, 0)
            highest = new
        index = (row * heads + head) * parts + part
        if ALONE:
            value = summed / tl.maximum(total, 1e-30)
            at = out + index * HEAD_DIM + column
            tl.store(at, value.to(out.dtype.element_ty), mask=inside)
        else:
            tl.store(partial + index * HEAD_DIM + column, summed, mask=inside)
            tl.store(weights + index * 2, highest)
            tl.store(weights + index * 2 + 1, total)


@triton.jit
def attend_sum(
    partial,
    weights,
    out,
    heads,
    parts,
    HEAD_DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_P: tl.constexpr,
    EARLY: tl.constexpr,
):
    """Combine the parts by their maxima and sums; one program per row and head."""
    wait(EARLY)
    index = tl.program_id(0) * heads + tl.program_id(1)
    part = tl.arange(0, BLOCK_P)
    column = tl.arange(0, BLOCK_D)
    there, inside = part < parts, column < HEAD_DIM
    highest = tl.load(weights + (index * parts + part) * 2, mask=there, other=-1.0e30)
    total = tl.load(weights + (index * parts + part) * 2 + 1, mask=there, other=0.0)
    factor = tl.exp(highest - tl.max(highest, 0))
    place = partial + (index * parts + part)[:, None] * HEAD_DIM + column[None, :]
    summed = tl.load(place, mask=there[:, None] & inside[None, :], other=0.0)
    # The sum is at least 1, except for padding, which attends to nothing.
    value = tl.sum(summed * factor[:, None], 0) / tl.maximum(tl.sum(total * factor, 0), 1e-30)
    tl.store(out + index * HEAD_DIM + column, value.to(out.dtype.element_ty), mask=inside)
