"""Private copies and large batches beside each other, from probes in which they may have missed
each other."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from harness.profiling.beside import beside_copies, host_rows
from harness.profiling.card_steps import Decoding
from harness.profiling.found import Found
from harness.profiling.frames import StageSpan
from harness.profiling.overlap import union

SECOND = 10**9


def loads(*spans: tuple[float, float]) -> Any:
    """Make tables whose instances loaded in these times, in s."""
    found = [
        StageSpan(round(start * SECOND), round(end * SECOND), str(number), 128, 2)
        for number, (start, end) in enumerate(spans)
    ]
    return SimpleNamespace(stage=lambda *_: found)


def test_loads_at_once_tell_how_much_they_slow_each_other_down() -> None:
    found = beside_copies(loads((0.0, 1.25), (0.0, 1.25)), [0, 1], 1.0)
    assert found["private_beside"].value == pytest.approx(0.25)


def test_loads_that_missed_each_other_tell_nothing() -> None:
    assert beside_copies(loads((0.0, 1.0), (1.0, 2.0)), [0, 1], 1.0) == {}


def decoded(*spans: tuple[int, float, float]) -> Any:
    """Make tables of requests, each decoded by an instance in this time, in s."""
    found = [
        StageSpan(round(start * SECOND), round(end * SECOND), str(instance), 0, 11)
        for instance, start, end in spans
    ]

    def stage(name: str, requests: Sequence[int] = range(len(found))) -> list[StageSpan]:
        return [found[each] for each in requests] if name == "decode" else []

    return SimpleNamespace(stage=stage)


WEIGHTLESS: Any = SimpleNamespace(weights_bytes=0, kv_bytes_per_token=0)
WAITS = Found(1.0, "as much as the others")
ALONE = Decoding(((1.0, 0.5), (2.0, 0.6)), 1.0, "", WEIGHTLESS)


def test_batches_at_once_tell_what_of_a_step_they_hide() -> None:
    two_each = decoded((0, 0, 10), (0, 0, 10), (1, 0, 10), (1, 0, 10))
    found = host_rows(two_each, range(4), ALONE, WAITS)
    assert found["host_row_s"].value == pytest.approx(0.1), "a second is two steps of half a second"


def test_steps_of_another_size_are_not_counted_as_hidden() -> None:
    """The other request of the batch ends after 95 of 100 steps."""
    nearly = decoded((0, 0, 9.5), (0, 0, 10), (1, 0, 10), (1, 0, 10))
    assert host_rows(nearly, [1], ALONE, WAITS)["host_row_s"].value == pytest.approx(0.1)


def test_batches_that_missed_each_other_or_changed_their_size_tell_nothing() -> None:
    missed = decoded((0, 0, 10), (0, 0, 10), (1, 10, 20), (1, 10, 20))
    assert host_rows(missed, range(4), ALONE, WAITS) == {}
    changing = decoded((0, 0, 6), (0, 0, 10), (1, 0, 10), (1, 0, 10))
    assert host_rows(changing, [1], ALONE, WAITS) == {}


def test_a_union_is_what_at_least_one_covers() -> None:
    assert union([(5, 6), (0, 2), (1, 3), (3, 4)]) == [(0, 4), (5, 6)]
