"""When a simulated quantity agrees with the live repeats."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.fidelity.agreement import agreement, compare, distance, outside
from harness.fidelity.lines import lines
from harness.fidelity.quantities import QUANTITIES
from harness.records import new_run
from tests.harness.made import cut_tables, made_cell, made_run


@pytest.mark.parametrize(
    ("live", "simulated", "within"),
    [
        ([100.0], 109.0, True),
        ([100.0], 111.0, False),
        ([100.0], 89.0, False),
        ([80.0, 100.0, 120.0], 119.0, True),  # the repeats differ by more than 10 %
        ([80.0, 100.0, 120.0], 121.0, False),
        ([99.0, 100.0, 101.0], 109.0, True),  # and here by less
        ([0.0], 0.0, True),
        ([0.0], 1.0, False),
    ],
)
def test_ten_per_cent_agree_or_the_repeats_range_where_that_is_wider(
    live: list[float], simulated: float, within: bool
) -> None:
    assert agreement(live, [simulated])["within"] is within


def test_errors_are_relative_to_the_mean_of_the_repeats() -> None:
    found = agreement([90.0, 110.0], [120.0])
    assert found["error"] == pytest.approx(0.2)
    assert (found["live"], found["low"], found["high"]) == pytest.approx((100, 90, 110))
    assert agreement([0.0], [1.0])["error"] is None, "nothing is relative to zero"


def test_what_a_side_does_not_tell_neither_agrees_nor_disagrees() -> None:
    for live, simulated in (([None], [1.0]), ([1.0, None], [1.0]), ([1.0], [None])):
        assert set(agreement(live, simulated).values()) == {None}


def test_distributions_with_one_mean_are_told_apart() -> None:
    narrow, wide = [0.9, 1.0, 1.1] * 30, [0.1, 1.0, 1.9] * 30
    same, other = distance([narrow], [narrow]), distance([narrow, narrow], [wide])
    assert same["statistic"] == 0
    assert same["between_repeats"] is None, "there is one"
    assert other["statistic"] == pytest.approx(1 / 3)
    assert other["p"] is not None
    assert other["p"] < 0.01
    assert other["between_repeats"] == 0
    assert distance([[]], [narrow])["statistic"] is None


def test_a_run_agrees_with_itself(tmp_path_factory: pytest.TempPathFactory) -> None:
    cells = made_run(tmp_path_factory.mktemp("one")).cells()
    (row, *_) = compare(cells, cells)
    assert outside(row) == []
    assert {row[each.name]["error"] for each in QUANTITIES} <= {0.0, None}
    assert row["ttft_ks"]["statistic"] == 0


def test_first_tokens_of_failed_requests_are_not_compared(tmp_path: Path) -> None:
    (cell,) = made_run(tmp_path, ("serverless-lora",)).cells()
    cut = made_cell(new_run({"name": "cut"}, tmp_path / "cut"), "serverless-lora", cut_tables())
    (row,) = compare([cell], [cut])
    assert row["ttft_ks"]["statistic"] == 0


def test_a_line_names_what_is_beyond_its_bounds(tmp_path_factory: pytest.TempPathFactory) -> None:
    cells = made_run(tmp_path_factory.mktemp("one")).cells()
    (row, *_) = compare(cells, cells)
    row |= {"record": "r", "cold": agreement([4], [3])}
    assert outside(row) == ["cold"]
    (line,) = lines({"cells": [row]})
    assert "cold 4 live, 3 simulated (-25%)!" in line
    assert line.count("!") == 1
