"""The kernels that add adapters: equal to the reference, and no row sees another."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from systems.engine.cuda.ops import LoraPlaces, TorchOps
from systems.engine.packed import Span

from .kernels import CUDA, close_in_scale, draw, index
from .placed import places, spans_of

from systems.engine.cuda.triton_ops import TritonOps  # isort: skip

QKV = spans_of((0, 20), (20, 10), (30, 10))
Q_AND_V = spans_of((0, 20), (30, 10))
ONE = spans_of((0, 40))
EACH = pytest.mark.parametrize("spans", [QKV, Q_AND_V, ONE], ids=["qkv", "q and v", "one"])
BOTH = pytest.mark.parametrize("ops", [TritonOps(), TorchOps()], ids=["triton", "torch"])
OUT, INNER, RANK = 40, 96, 24
RANKS = {1: ((24,), (8,), (1,), (0,)), 2: ((24, 24), (8, 8), (0, 5), (3, 0))}
RANKS[3] = ((24, 24, 24), (8, 0, 8), (0, 0, 0), (5, 5, 5))


def placed(spans: tuple[Span, ...]) -> LoraPlaces:
    return places(INNER, RANK, spans, RANKS[len(spans)])


def by_hand(y: Tensor, x: Tensor, lora: LoraPlaces, numbers: Tensor) -> Tensor:
    """Add one sequence and span after another, by matrices cut to their ranks."""
    y = y.clone()
    length = len(x) // len(numbers)
    for sequence, number in enumerate(numbers.tolist()):
        rows = slice(sequence * length, (sequence + 1) * length)
        bounds = lora.bounds[number - 1].tolist() if number else [0] * 4
        for span, low, high in zip(lora.spans, bounds, bounds[1:], strict=False):
            a = lora.a[number - 1, low:high].double()
            b = lora.b[number - 1, : high - low, span.first : span.first + span.size].double()
            y[rows, span.start : span.start + span.size] += (x[rows].double() @ a.t() @ b).to(y)
    return y


@BOTH
@EACH
def test_single_rows_come_before_those_of_sequences(spans: tuple[Span, ...], ops: TorchOps) -> None:
    """As in a mixed pass: as if each were added alone."""
    lora, single, length = placed(spans), 6, 20
    numbers = index(2, 0, 3, 1, 4, 2, 1, 0, 2)
    x = draw(single + 3 * length, INNER, seed=3)
    y = draw(len(x), OUT, seed=4)
    wanted = torch.cat(
        [
            by_hand(y[:single], x[:single], lora, numbers[:single]),
            by_hand(y[single:], x[single:], lora, numbers[single:]),
        ]
    )
    assert ops.add_lora(y, x, lora, numbers, single) is y
    close_in_scale(y, wanted)


def mixed(sequences: int, adapters: int = 4) -> Tensor:
    return index(*(sequence * 3 % (adapters + 1) for sequence in range(sequences)))


@BOTH
@EACH
@pytest.mark.parametrize(("sequences", "length"), [(5, 1), (1, 70), (3, 20)])
def test_every_row_gets_its_adapter_at_its_rank(
    sequences: int, length: int, spans: tuple[Span, ...], ops: TorchOps
) -> None:
    lora, numbers = placed(spans), mixed(sequences)
    x, y = draw(sequences * length, INNER, seed=3), draw(sequences * length, OUT, seed=4)
    wanted = by_hand(y, x, lora, numbers)
    assert ops.add_lora(y, x, lora, numbers) is y
    close_in_scale(y, wanted)


@pytest.mark.parametrize("rows", [1, 2, 7, 16, 33])
def test_batches_of_any_size(rows: int) -> None:
    lora, numbers = placed(ONE), mixed(rows)
    x, y = draw(rows, INNER, seed=3), draw(rows, OUT, seed=4)
    wanted = by_hand(y, x, lora, numbers)
    close_in_scale(TritonOps().add_lora(y, x, lora, numbers), wanted)


@pytest.mark.parametrize(("single", "length", "out"), [(0, 1, 300), (0, 9, 300), (2, 9, 1100)])
def test_more_columns_and_ranks_than_a_block_has(single: int, length: int, out: int) -> None:
    inner = 2100
    lora, numbers = places(inner, 70, spans_of((0, out)), ((70,), (17,))), index(2, 1)
    x, y = draw(single + 2 * length, inner, seed=3), draw(single + 2 * length, out, seed=4)
    wanted = by_hand(y[single:], x[single:], lora, numbers)
    if single:
        wanted = torch.cat([by_hand(y[:single], x[:single], lora, numbers), wanted])
        numbers = torch.cat([numbers, numbers])
    found = TritonOps().add_lora(y, x, lora, numbers, single)
    close_in_scale(found, wanted)


@pytest.mark.parametrize(
    ("length", "dtype"),
    # The interpreter multiplies matrices of bfloat16 as if they were integers.
    [(1, torch.float16), (9, torch.float16), (1, torch.bfloat16)] + [(9, torch.bfloat16)] * CUDA,
)
def test_half_precision_is_summed_in_float32(length: int, dtype: torch.dtype) -> None:
    lora = placed(QKV)
    lora = replace(lora, a=lora.a.to(dtype), b=lora.b.to(dtype))
    x, y = draw(2 * length, INNER, seed=3).to(dtype), draw(2 * length, OUT, seed=4).to(dtype)
    wanted = by_hand(y.float(), x, lora, index(2, 1))
    found = TritonOps().add_lora(y, x, lora, index(2, 1))
    scale, digits = float(wanted.abs().max()), torch.finfo(dtype).eps
    torch.testing.assert_close(found.float() / scale, wanted / scale, rtol=0, atol=digits)


@BOTH
@pytest.mark.parametrize("length", [1, 70])
def test_number_zero_is_the_backbone_alone(length: int, ops: TorchOps) -> None:
    y = draw(2 * length, OUT, seed=4)
    before = y.clone()
    ops.add_lora(y, draw(2 * length, INNER), placed(QKV), index(0, 0))
    assert torch.equal(y, before)


@BOTH
@pytest.mark.parametrize(
    # Of several rows and of one, which have kernels of their own, and of one before several.
    ("value", "single", "length"),
    [(torch.nan, 0, 1), (torch.nan, 0, 20), (torch.inf, 0, 3), (torch.nan, 2, 20)],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_no_row_sees_its_neighbours(value: float, single: int, length: int, ops: TorchOps) -> None:
    """Bit for bit, whatever number, adapter and input the second of four sequences has."""
    lora = placed(QKV)
    begin, end = (1, 2) if single else (length, 2 * length)
    rows = end + 2 * length
    x, y = draw(rows, INNER, seed=3), draw(rows, OUT, seed=4)
    wanted = ops.add_lora(y.clone(), x, lora, index(2, 1, 0, 4), single)
    spoilt = replace(lora, a=lora.a.clone(), b=lora.b.clone())
    spoilt.a[0], spoilt.b[0] = value, value
    x[begin:end] = value
    for neighbour in (1, 0, 3):
        found = ops.add_lora(y.clone(), x, spoilt, index(2, neighbour, 0, 4), single)
        for kept in (slice(0, begin), slice(end, None)):
            assert torch.equal(found[kept], wanted[kept])
    last = ops.add_lora(y, x, spoilt, index(2, 1, 0, 4), single)
    assert not bool(last[begin].isfinite().all())


@pytest.mark.parametrize(("normed", "gate"), [(False, False), (True, False), (False, True)])
@EACH
def test_products_of_one_row_with_an_adapter(
    spans: tuple[Span, ...], normed: bool, gate: bool
) -> None:
    lora, x, weight = placed(spans), draw(1, INNER), draw(OUT, INNER, seed=5) / 16
    for number in (2,) if normed or gate else (0, 2, 3):
        given = {
            "norm": draw(INNER, seed=6) if normed else None,
            "eps": 1e-5,
            "adapter": (lora, index(number)),
            "gate": gate,
        }
        found, wanted = (ops.row_product(x, weight, **given) for ops in (TritonOps(), TorchOps()))
        close_in_scale(found, wanted)
