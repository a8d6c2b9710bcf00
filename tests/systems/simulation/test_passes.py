"""The passes in which prompts are computed, as the engines compute them."""

from __future__ import annotations

from collections import deque

import pytest

from systems.engine.cuda.prompts import _padded, next_pieces
from systems.engine.pieces import Piece
from systems.simulation.passes import Part, Pass, next_padded_pass, passes
from workloads.streams import stream

TOGETHER, LONGEST = 1024, 512


def test_an_engine_without_shapes_computes_a_batch_in_one_pass() -> None:
    assert passes([30, 100], pads=False) == [Pass(2, 2, 130)]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([100], [Pass(1, 1, 128)]),
        ([130], [Pass(1, 1, 256)]),
        ([100] * 3, [Pass(3, 4, 512)]),  # three prompts take as long as four
        ([60, 130], [Pass(2, 2, 512)]),  # and all as long as the longest
        ([512] * 8, [Pass(2, 2, 1024)] * 4),
        ([60, 500, 50, 500], [Pass(2, 2, 128), Pass(2, 2, 1024)]),  # those of one length together
    ],
)
def test_an_engine_with_shapes_computes_padding_too(
    lengths: list[int], expected: list[Pass]
) -> None:
    assert passes(lengths, pads=True) == expected


def of_the_engine(lengths: list[int], most: int) -> list[tuple[int, int, int]]:
    """Return the passes of the engine itself: prompts, rows and tokens of each."""
    left = [(slot, tuple(range(tokens)), 0) for slot, tokens in enumerate(lengths)]
    found = []
    while left:
        longest = min(most, LONGEST)
        group = next_pieces(iter([Piece.of(*each, longest) for each in left]), most)
        rows, length = _padded(group)
        found.append((len(group), rows, rows * length))
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
        left, found = deque(map(Part, lengths)), []
        while left:
            found.append(next_padded_pass(left, most))
        expected = of_the_engine(lengths, TOGETHER if most is None else most)
        assert [(each.prompts, each.rows, each.tokens) for each in found] == expected
