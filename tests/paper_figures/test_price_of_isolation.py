"""The price of isolation: tenants are read from manifests, and live and simulated runs of the same
load stand side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from harness.commands.figures import figures
from harness.errors import HarnessError
from harness.places import REFERENCE
from harness.records import Run, new_run, open_run
from paper_figures import NothingToDrawError
from paper_figures.isolation_points import largest_differences
from paper_figures.price_of_isolation import _panel
from paper_figures.registry import drawings
from paper_figures.sweep_panels import Panel
from tests.harness.made import made_cell

from .kinds import levels
from .seen import cut_off, empty, words

NAME = "price-of-isolation"
SIMULATED = {"mode": "simulated", "profile": {"name": "h100", "last_check": None}}


def _drawn(*runs: Run) -> Any:
    (drawing,) = drawings(NAME, *runs)
    return drawing


def test_tenants_are_the_groups_of_the_manifest_whatever_the_label(tmp_path: Path) -> None:
    drawing = _drawn(levels(tmp_path))
    tenants = drawing.data.drop_duplicates("label").set_index("label")["tenants"]
    assert tenants[["apart", "together"]].tolist() == [2, 1]
    assert np.isnan(tenants["multi-lora"]), "a system without levels has no number of tenants"
    axis = drawing.figure.axes[3]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["2", "1"]
    (curve,) = (line for line in axis.lines if line.get_marker() == "o")
    assert (np.diff(curve.get_xdata()) < 0).all(), "fewer tenants are further right"


def test_a_system_without_levels_is_a_horizontal_line(tmp_path: Path) -> None:
    drawing = _drawn(levels(tmp_path))
    rows = drawing.data[drawing.data["metric"] == "tpot_s.mean"]
    value = float(rows[rows["system"] == "multi-lora"]["value"].iloc[0])
    lines = {line.get_label(): line for line in drawing.figure.axes[2].lines}
    assert lines["multi-lora, live"].get_ydata() == pytest.approx([1e3 * value] * 2)


def test_every_label_of_a_logarithmic_axis_is_a_plain_number() -> None:
    axis = Figure().subplots()
    rows = pd.DataFrame(
        {"system": ["a", "a"], "mode": ["live", "live"], "tenants": [2.0, 1.0]}
        | {key: [20_000.0, 60_000.0] for key in ("value", "low", "high")}
    )
    _panel(axis, Panel("ttft_s.mean", "mean TTFT, ms", log_y=True), rows, (0, 1))
    labels = axis.yaxis.get_minor_formatter().format_ticks([2e4, 3e4, 6e4])
    assert [label for label in labels if label] == ["20,000", "30,000", "60,000"]


def test_a_live_and_a_simulated_run_share_the_panels_and_their_difference_is_told(
    tmp_path: Path,
) -> None:
    runs = levels(tmp_path / "live"), levels(tmp_path / "simulated", **SIMULATED)
    drawing = _drawn(*runs)
    said = words(drawing.figure)
    assert "The price of isolation" in said
    assert {"ServerlessLoRA, live", "ServerlessLoRA, simulated"} <= {*said}
    (caption,) = (text for text in said if "; run " in text)
    assert "live on" in caption
    assert "simulated, profile h100" in caption
    assert all(run.id in caption for run in runs)
    assert "largest difference of simulated from live: mean TTFT 0%" in caption
    assert not any(empty(axis) or cut_off(axis) for axis in drawing.figure.axes)
    alone = [text for text in words(_drawn(runs[0]).figure) if "; run " in text]
    assert not any("simulated" in text for text in alone)


def test_the_largest_difference_is_over_points_that_both_modes_have() -> None:
    rows = pd.DataFrame(
        [
            ("a", 8, "live", 1.0), ("a", 8, "simulated", 0.9), ("a", 1, "live", 2.0),
            ("a", 1, "simulated", 2.1), ("a", 2, "live", 5.0), ("b", None, "live", 1.0),
            ("b", None, "simulated", 1.3), ("c", 8, "simulated", 9.0),
        ],
        columns=["system", "tenants", "mode", "value"],
    ).assign(metric="cost_usd")  # fmt: skip
    assert largest_differences(rows) == {"cost_usd": pytest.approx(0.3)}
    assert largest_differences(rows[rows["mode"] == "live"]) == {}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "several live runs; give one of a mode"),
        ({**SIMULATED, "schedule_sha256": "1"}, "not all cells were sent the same requests"),
    ],
)
def test_runs_that_cannot_stand_side_by_side_are_refused(
    more: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    one, other = levels(tmp_path / "one"), levels(tmp_path / "other", **more)
    with pytest.raises(NothingToDrawError, match=rf"{one.id}.*time-breakdown with tiny: {reason}"):
        _drawn(one, other)


def test_a_number_of_tenants_alone_has_no_price(tmp_path: Path) -> None:
    run = new_run({"name": "one-level"}, tmp_path)
    made_cell(run, "serverless-lora", groups={"A": ("A",), "B": ("B",)})
    with pytest.raises(NothingToDrawError, match="no system with two numbers of tenants"):
        _drawn(run)


@pytest.mark.usefixtures("png_only")
def test_the_command_draws_runs_side_by_side_and_the_others_each_alone(tmp_path: Path) -> None:
    runs = levels(tmp_path / "live"), levels(tmp_path / "simulated", **SIMULATED)
    out = tmp_path / "out"
    figures([NAME, "cost-of-serving"], [str(run.path) for run in runs], out)
    found = {path.relative_to(out).as_posix() for path in out.rglob("*.png")}
    assert found == {
        f"{NAME}-tiny-time-breakdown.png",
        *(f"{run.id}/cost-of-serving.png" for run in runs),
    }
    again = [str(runs[0].path), str(levels(tmp_path / "again").path)]
    with pytest.raises(HarnessError, match=f"not drawn: {NAME}: .*several live runs"):
        figures([NAME], again, out)


def test_only_what_has_no_isolation_stands_beside_what_has_levels() -> None:
    first, *_ = drawings(NAME, open_run(Path(__file__).parents[2] / REFERENCE / "opponents-h200"))
    assert set(first.data["system"]) == {"serverless-lora", "multi-lora", "dlora", "vllm"}
    assert "transformers" not in " ".join(words(first.figure)), "nor in the caption"
