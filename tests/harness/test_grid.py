"""A line of a comparison's table has one sample size, or the least and the greatest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.comparison import Comparison, compare, metrics_of
from harness.records import new_run
from harness.report.grid import MISSING, grids
from harness.stats import Estimate

from .compared import BASE, OURS, cell

MEAN = "ttft_s.mean"
LEVELS = (OURS, "instainfer", "dlora", BASE)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    run = new_run({"name": "made"}, tmp_path_factory.mktemp("runs"))
    return compare([cell(run, level) for level in LEVELS], metrics=metrics_of([MEAN]))


def with_estimates(found: Comparison, *estimates: Estimate) -> Comparison:
    """Replace the estimates of the levels."""
    given = dict(zip(LEVELS, estimates, strict=True))
    (group,) = found.groups
    rows = tuple(replace(row, estimate=given[row.entry.level]) for row in group)
    return replace(found, groups=(rows,))


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        ((219, 219, 219, 219), "219"),
        ((1219, 219, 164, 219), "164–1,219"),
        ((0, 45, 0, 45), "45"),
        ((0, 45, 51, 0), "45–51"),
    ],
)
def test_sizes_are_of_the_columns_that_have_a_value(
    compared: Comparison, sizes: tuple[int, ...], shown: str
) -> None:
    estimates = (Estimate(1.0 if size else None, size) for size in sizes)
    (grid,) = grids(with_estimates(compared, *estimates))
    (line,) = (line for line in grid.lines if line.label == "TTFT mean, ms")
    assert line.n == shown
    assert line.values.count(MISSING) == sizes.count(0)
