"""Each kernel equals its reference."""

from __future__ import annotations

import pytest
import torch

from systems.engine.cuda.ops import HeadWeights, TorchOps

from .kernels import DEVICE, DTYPE, close, close_in_scale, draw, index

from systems.engine.cuda import triton_ops  # isort: skip
from systems.engine.cuda.triton_ops import TritonOps  # isort: skip

HEADS = [(4, 4), (6, 2)]


def test_norms() -> None:
    x, y, weight = draw(3, 96), draw(3, 96, seed=1), draw(96, seed=2)
    close(TritonOps().norm(x, weight, 1e-5), TorchOps().norm(x, weight, 1e-5))
    sums = x.clone(), x.clone()
    found = TritonOps().add_norm(sums[0], y, weight, 1e-5)
    close(found, TorchOps().add_norm(sums[1], y, weight, 1e-5))
    close(sums[0], sums[1])


def test_silu_mul() -> None:
    gate_up = draw(3, 2 * 1100)
    close(TritonOps().silu_mul(gate_up), TorchOps().silu_mul(gate_up))


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize(("outputs", "inner"), [(70, 96), (34, 4096), (6, 2600)])
def test_products_of_one_row(outputs: int, inner: int, normed: bool, gate: bool) -> None:
    x, weight = draw(1, inner), draw(outputs, inner, seed=1) / 16
    results = []
    for ops in (TritonOps(), TorchOps()):
        onto = draw(1, outputs // 2 if gate else outputs, seed=4)
        norm = draw(inner, seed=5) if normed else None
        given = {"norm": norm, "eps": 1e-5, "gate": gate}
        found = ops.row_product(x, weight, **given)
        added = ops.row_product(x, weight, **given, onto=onto)
        assert added is onto
        results.append((found, added))
    for found, wanted in zip(*results, strict=True):
        close_in_scale(found, wanted)


def extras(kind: str, heads: int, head_dim: int) -> HeadWeights:
    bias = draw(heads * head_dim, seed=2) if "bias" in kind else None
    norm = draw(2, head_dim, seed=3) if "norm" in kind else None
    return HeadWeights(bias, norm, 1e-3)


@pytest.mark.parametrize("kind", ["plain", "bias", "norm", "bias and norm"])
@pytest.mark.parametrize(("heads", "kv_heads"), HEADS)
@pytest.mark.parametrize("head_dim", [16, 24])
def test_rotations_and_stores(heads: int, kv_heads: int, head_dim: int, kind: str) -> None:
    angles = torch.arange(32, device=DEVICE)[:, None] * torch.rand(head_dim // 2, device=DEVICE)
    cos, sin = torch.cat([angles.cos()] * 2, 1), torch.cat([-angles.sin(), angles.sin()], 1)
    where = index(0, 7, 31), index(2, 0, 0)
    weights = extras(kind, heads + 2 * kv_heads, head_dim)
    results = []
    for ops in (TritonOps(), TorchOps()):
        qkv = draw(3, heads + 2 * kv_heads, head_dim)
        kv = torch.zeros(2, 3, kv_heads, 32, head_dim, dtype=DTYPE, device=DEVICE)
        ops.rotate_and_store(qkv, cos, sin, *where, kv, weights)
        results.append((qkv, kv))
    for found, wanted in zip(*results, strict=True):
        close(found, wanted)


@pytest.mark.parametrize(("heads", "kv_heads"), HEADS)
@pytest.mark.parametrize(
    ("positions", "window"),
    [((0,), None), ((300,), None), ((300,), 1), ((5, 511, 128, 63), None), ((5, 511, 128, 63), 99)],
)
def test_attention_of_steps(
    heads: int, kv_heads: int, positions: tuple[int, ...], window: int | None
) -> None:
    rows = len(positions)
    qkv = draw(rows, heads + 2 * kv_heads, 24)
    kv = draw(2, 5, kv_heads, 520, 24, seed=1)
    found, wanted = (
        ops.attend(qkv[:, :heads], kv, index(*positions), window)
        for ops in (TritonOps(), TorchOps())
    )
    close(found, wanted)


def test_heads_of_a_group_share_a_program_where_there_are_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    qkv, kv = draw(2, 6 + 2 * 2, 24), draw(2, 3, 2, 130, 24, seed=1)
    given = qkv[:, :6], kv, index(100, 70), 80
    wanted = TritonOps().attend(*given)
    monkeypatch.setattr(triton_ops, "WANTED_PROGRAMS", 4)
    close(TritonOps().attend(*given), wanted)
    close(wanted, TorchOps().attend(*given))


def test_a_position_below_zero_is_padding_whose_slot_is_never_touched() -> None:
    cos = sin = torch.ones(32, 16, device=DEVICE)
    kv = torch.full((2, 3, 2, 32, 16), 7.0, dtype=DTYPE, device=DEVICE)
    qkv = draw(3, 4 + 2 * 2, 16)
    TritonOps().rotate_and_store(qkv, cos, sin, index(5, -1, 9), index(0, 1, 2), kv)
    assert bool((kv[:, 1] == 7.0).all())
    assert not bool((kv[:, 2, :, 9] == 7.0).all())
    kv[:, 1] = float("nan")
    found = TritonOps().attend(qkv[:, :4], kv, index(5, -1, 9))
    alone = TritonOps().attend(qkv[:1, :4], kv, index(5))
    close(found[:1], alone)
    assert bool((found[1] == 0.0).all())
