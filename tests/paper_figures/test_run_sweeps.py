"""The curve figures of a run of one's own that has a sweep."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.records import Run
from paper_figures import NothingToDrawError, names_for
from paper_figures.registry import drawings
from paper_figures.run_sweeps import sweeps

from .kinds import one, scaled, swept, swept_endpoint
from .seen import alike, cut_off, illegible, words

TIMES = "workloads.time_scale"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return swept(tmp_path_factory.mktemp("runs"))


def test_a_curve_is_over_one_axis_and_each_value_of_the_other_has_its_own(run: Run) -> None:
    found = {each.name: each for each in drawings("throughput", run)}
    assert set(found) == {f"throughput-steady@keep_alive_s={kept}" for kept in (10, 60)}
    for kept in (10, 60):
        data = found[f"throughput-steady@keep_alive_s={kept}"].data
        assert set(data["at"]) == {1, 64}
        mean = data[data["metric"] == "ttft_from_schedule_s.mean"]
        drawn = {(row.system, row.at): row.value for row in mean.itertuples()}
        assert drawn == pytest.approx(
            {
                (cell.system, cell.manifest.sweep[TIMES]): cell.requests[
                    "ttft_from_schedule_s"
                ].mean()
                for cell in run.cells()
                if cell.manifest.sweep
                and cell.manifest.sweep["deployment.limits.keep_alive_s"] == kept
            }
        )
        assert len(drawn) == 4


def test_what_the_paper_published_is_not_drawn_into_a_sweep_of_ones_own(run: Run) -> None:
    """The paper's mark of the throughput is at 64 of its own sweep."""
    for drawing in drawings("throughput", run):
        said = words(drawing.figure)
        assert not any("as published" in text for text in said)
        assert any("steady@keep_alive_s=" in text and run.id in text for text in said)
        assert "time_scale" in said


def test_the_load_is_told_beside_the_requests_that_were_answered(run: Run) -> None:
    for drawing in drawings("throughput", run):
        tokens, requests, _ = drawing.figure.axes
        (offered,) = [line for line in requests.lines if line.get_color() == "black"]
        assert not [line for line in tokens.lines if line.get_color() == "black"]
        loads = {
            cell.manifest.sweep[TIMES]: cell.summary["n"] / cell.manifest.workload["duration_s"]
            for cell in run.cells()
            if cell.manifest.sweep
        }
        assert dict(zip(*offered.get_data(), strict=True)) == pytest.approx(loads)
        told = ", ".join(f"{loads[at]:.3g}" for at in sorted(loads))
        assert any(f"black: offered, {told} requests/s" in text for text in words(drawing.figure))


def test_a_sweep_of_live_cells_says_so_and_counts_invalid_ones(tmp_path: Path) -> None:
    (drawing,) = drawings("throughput", swept_endpoint(tmp_path))
    assert drawing.name == "throughput"
    (told,) = [text for text in words(drawing.figure) if "; run " in text]
    assert told.startswith("live on ")
    assert "INVALID: 1 of 3 cells" in told
    assert "rate" in words(drawing.figure)
    assert "devices changed with rate" in told
    assert {axis.get_xscale() for axis in drawing.figure.axes} == {"linear"}, "a value is 0"


@pytest.mark.parametrize("name", ["strong-scaling", "weak-scaling"])
def test_scaling_is_drawn_from_a_live_run_on_several_devices(name: str, tmp_path: Path) -> None:
    run = scaled(tmp_path, name)
    assert name in names_for(run)
    (drawing,) = drawings(name, run)
    said = words(drawing.figure)
    assert any(
        re.match(rf"live on .*; run {run.id}; .*time_scale changed with devices", text)
        for text in said
    )
    assert "devices" in said
    tokens, *_ = drawing.figure.axes
    assert {line.get_label() for line in tokens.lines} == {"ServerlessLoRA", "multi-lora"}
    assert all(line.get_xdata().tolist() == [1, 2, 4] for line in tokens.lines)
    assert illegible(drawing.figure) == alike(drawing.figure) == []
    assert not any(cut_off(axis) for axis in drawing.figure.axes)


def test_keys_that_vary_together_are_one_axis_and_a_run_without_numbers_has_no_curve(
    tmp_path: Path,
) -> None:
    def refused(sweep: Any) -> str:
        with pytest.raises(NothingToDrawError) as reason:
            list(sweeps(Run(tmp_path, {"sweep": sweep})))
        return str(reason.value)

    assert "no sweep over a number" in refused([{"workloads.lengths": ["a", "b"]}])
    assert "no sweep over a number" in refused([{"systems.mps": [True, False]}])
    assert "\n" not in refused([{TIMES: [1]}])
    assert (
        list(sweeps(Run(tmp_path, {"sweep": [{TIMES: [1, 2], "systems.mps": [True, False]}]})))
        == []
    )


def test_the_throughput_is_among_the_figures_of_a_run_with_a_sweep_only(
    run: Run, tmp_path: Path
) -> None:
    plain = one(tmp_path)
    assert "throughput" in names_for(run)
    assert "throughput" not in names_for(plain)
    with pytest.raises(HarnessError, match="no sweep over a number"):
        list(drawings("throughput", plain))
