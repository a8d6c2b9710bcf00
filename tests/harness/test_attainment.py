"""Cost at equal SLO attainment: interpolated between two loads, or None with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from harness.cli import build
from harness.comparison import at_attainment
from harness.errors import HarnessError
from harness.metrics import summary
from harness.records import Cell, Run, new_run, write_cell

from .made import manifest
from .made import tables as made_tables
from .many import many_requests, spans_of

COUNT = 101


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run({"name": "made", "systems": [{"name": "a"}, {"name": "b"}]}, tmp_path)


def point(
    run: Run, system: str, rps: float, attained: float, usd: float, **changes: object
) -> Cell:
    """Write a cell of 101 requests at a constant rate ``rps``."""
    requests = many_requests(COUNT, 0, 1.0)
    even = pa.array([round(index / rps * 1e9) for index in range(COUNT)], pa.int64())
    requests = requests.set_column(
        requests.column_names.index("scheduled_ns"), "scheduled_ns", even
    )
    content = {**made_tables(), "requests": requests, "spans": spans_of(requests)}
    workload = {**manifest(run, system).workload, "sha256": f"{rps}"}
    told = manifest(run, system).model_copy(update={"workload": workload, **changes})
    number = len(list(run.path.rglob("manifest.json")))
    said = {**summary(content, 60.0), "slo_attainment": attained, "usd_per_1k_requests": usd}
    return write_cell(run.path / system / f"load-{number}" / "0", told, content, said)


def test_load_and_cost_are_interpolated_between_the_loads_that_bracket_the_level(run: Run) -> None:
    cells = [
        *(
            point(run, "a", rps, got, usd)
            for rps, got, usd in ((1, 1.0, 4), (2, 0.98, 3), (4, 0.5, 2))
        ),
        *(point(run, "b", rps, got, usd) for rps, got, usd in ((1, 0.95, 9), (2, 0.85, 5))),
    ]
    a, b = at_attainment(cells, 0.9)
    assert (a.system, b.system) == ("a", "b")
    part = (0.98 - 0.9) / (0.98 - 0.5)
    assert a.rps == pytest.approx(2 + 2 * part)
    assert a.usd_per_1k == pytest.approx(3 - part)
    assert (b.rps, b.usd_per_1k) == (pytest.approx(1.5), pytest.approx(7.0))


def test_noise_that_rises_with_load_is_levelled(run: Run) -> None:
    loads = ((1, 0.9, 4), (2, 1.0, 3), (4, 0.5, 2))
    (found,) = at_attainment([point(run, "a", *each) for each in loads], 0.95)
    assert found.rps == pytest.approx(2.0)
    assert found.usd_per_1k == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("attained", "why"),
    [((0.8, 0.7), "run lower ones"), ((1.0, 0.99), "run higher ones"), ((0.9,), "one load only")],
)
def test_a_level_that_the_loads_do_not_bracket_is_not_guessed(
    attained: tuple[float, ...], why: str, run: Run
) -> None:
    cells = [point(run, "a", 1 + rps, got, 1) for rps, got in enumerate(attained)]
    (found,) = at_attainment(cells, 0.95)
    assert found.rps is found.usd_per_1k is None
    assert why in found.why


def test_cells_that_differ_in_more_than_system_and_load_are_refused(run: Run) -> None:
    cells = [point(run, "a", 1, 1, 1), point(run, "a", 2, 1, 1, prices={"sha256": "other"})]
    with pytest.raises(HarnessError, match=r"^prices\.sha256: "):
        at_attainment(cells, 0.9)


def test_systems_of_one_run_may_have_prices_of_their_own_and_be_of_two_sittings(run: Run) -> None:
    other = {"prices": {"sha256": "other"}, "git": {"commit": "other", "dirty": False}}
    cells = [
        *(point(run, "a", rps, got, 1) for rps, got in ((1, 1.0), (2, 0.5))),
        *(point(run, "b", rps, got, 1, **other) for rps, got in ((1, 1.0), (3, 0.5))),
    ]
    assert [found.rps for found in at_attainment(cells, 0.75)] == pytest.approx([1.5, 2.0])
    elsewhere = point(run, "b", 4, 0.5, 1, **other, run_id="another")
    with pytest.raises(HarnessError, match=r"^prices\.sha256: |^git\.commit: "):
        at_attainment([*cells, elsewhere], 0.75)


def test_cells_of_one_label_at_two_isolation_levels_are_refused(run: Run) -> None:
    cells = [point(run, "a", 1 + at, 1, 1, isolation=("function", "tenant")[at]) for at in (0, 1)]
    with pytest.raises(HarnessError, match=r"^system\.isolation: 'function' in .* and 'tenant'"):
        at_attainment(cells, 0.9)


def test_the_command_says_it_as_a_table_and_as_json(run: Run) -> None:
    for rps, got in ((1, 1.0), (2, 0.5)):
        point(run, "a", rps, got, 1)
    command = ["compare", str(run.path), "--at-slo", "75"]
    table = CliRunner().invoke(build(["compare"]), command)
    assert table.exit_code == 0, table.output
    assert "1.50" in table.output
    said = json.loads(CliRunner().invoke(build(["compare"]), [*command, "--json"]).output)
    assert said["systems"][0]["rps"] == pytest.approx(1.5)
