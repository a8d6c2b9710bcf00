"""The passes in which prompts are computed, as the engines compute them."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

import pytest

from systems.engine.cuda.prompts import Prompts, next_pieces
from systems.engine.pieces import Piece
from systems.simulation.passes import Part, Pass, next_padded_pass, passes
from workloads.streams import stream

TOGETHER, LONGEST = 1024, 512


def test_an_engine_without_shapes_computes_a_batch_in_one_pass() -> None:
    assert passes([30, 100], pads=False) == [Pass(2, 130)]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([64], [Pass(1, 64)]),
        ([150], [Pass(1, 192)]),
        ([64, 65, 10], [Pass(3, 256)]),  # each in tiles of its own
        ([64, 65, 10, 1], [Pass(4, 384)]),  # five tiles take as long as six
        ([65] * 8, [Pass(8, 1024)]),
        ([65] * 9, [Pass(8, 1024), Pass(1, 128)]),
        ([512] * 8, [Pass(2, 1024)] * 4),
        ([60, 500, 50, 500], [Pass(3, 768), Pass(1, 512)]),  # in their order
        ([10, 600, 10], [Pass(1, 64), Pass(1, 512), Pass(1, 128), Pass(1, 64)]),  # alone, in pieces
    ],
)
def test_an_engine_with_shapes_computes_padding_too(
    lengths: list[int], expected: list[Pass]
) -> None:
    assert passes(lengths, pads=True) == expected


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (64, [Pass(1, 64), Pass(1, 64), Pass(1, 64), Pass(1, 64)]),
        (128, [Pass(1, 64), Pass(1, 128), Pass(1, 64)]),
        (256, [Pass(3, 256)]),
        (300, [Pass(3, 256)]),  # in a length that pieces have
    ],
)
def test_a_pass_computes_no_more_than_it_may_in_tiles(most: int, expected: list[Pass]) -> None:
    assert by_most([64, 65, 10], most) == expected


@pytest.mark.parametrize("most", [512, 2000])
def test_prompts_beside_steps_are_computed_in_passes_of_the_longest_piece(most: int) -> None:
    assert by_most([130, 400, 130], most) == [Pass(1, 192), Pass(1, 512), Pass(1, 192)]
    assert by_most([130, 60, 200], most) == [Pass(3, 512)]


def by_most(lengths: list[int], most: int | None) -> list[Pass]:
    left, found = deque(map(Part, lengths)), []
    while left:
        found.append(next_padded_pass(left, most))
    return found


def of_the_engine(lengths: list[int], most: int) -> list[Pass]:
    """Return the passes of the engine itself."""
    engine = Prompts(cast("Any", None), TOGETHER, "cpu", None)
    left = [(slot, tuple(range(tokens)), 0) for slot, tokens in enumerate(lengths)]
    found = []
    while left:
        longest = min(most, LONGEST)
        group = next_pieces(iter([Piece.of(*each, longest) for each in left]), most)
        found.append(Pass(len(group), engine._shape(group, None).length))
        last = group[-1]
        left = left[len(group) :]
        if not last.final:
            left.insert(0, (last.slot, tuple(range(lengths[last.slot])), last.stop))
    return found


@pytest.mark.parametrize("most", [64, 128, 512, None])
def test_the_passes_are_those_of_the_engine(most: int | None) -> None:
    draw = stream(1, "passes", most or 0)
    for _ in range(50):
        lengths = [int(each) for each in draw.integers(1, 700, draw.integers(1, 12))]
        expected = of_the_engine(lengths, TOGETHER if most is None else most)
        assert by_most(lengths, most) == expected
