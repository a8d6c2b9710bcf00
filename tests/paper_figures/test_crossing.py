"""The figure of the crossing: where systems turn, and the points of another record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.errors import HarnessError
from paper_figures.crossing import turns
from paper_figures.registry import drawings, names_for
from paper_figures.sweep import Sweep, open_sweep

from .kinds import swept
from .seen import words

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
WORTH = {
    # 2, at^1.5 and half of that: the first two meet at 2^(2/3), the last two nowhere.
    "serverless-lora": {1: 2.0, 4: 2.0, 16: 2.0},
    "multi-lora": {1: 1.0, 4: 8.0, 16: 64.0},
    "serverless-llm": {1: 0.5, 4: 4.0, 16: 32.0},
}


def made(thousands: float = 1.0) -> Sweep:
    """Make a sweep of so many thousand requests a run: its cost-effectiveness falls with them."""
    found: list[dict[str, Any]] = []
    for system, values in WORTH.items():
        for at, value in values.items():
            of = {
                "cost_effectiveness": value / thousands,
                "cost_usd": thousands,
                "usd_per_1k_requests": 1.0,
                "ttft_from_schedule_s.mean": 0.1,
            }
            found += [{"at": at, "system": system, "metric": m, "value": v} for m, v in of.items()]
    rows = pd.DataFrame(found).assign(low=None, high=None, unit="", n=1)
    return Sweep(Path("made"), "crossing", "requests/s", "simulated, profile p", rows)


def test_a_system_turns_where_it_is_worth_what_the_server_is() -> None:
    assert turns(made()) == [("serverless-lora", pytest.approx(2 ** (2 / 3)))]
    without = made().numbers
    alone = replace(made(), numbers=without[without["system"] != "multi-lora"])
    assert turns(alone) == []


def test_runs_of_other_lengths_are_compared_by_a_thousand_requests() -> None:
    live = replace(made(0.25), path=Path("mine"), ground="live on a card")
    (drawing,) = drawings("crossing", made(2.0), live)
    data = drawing.data[drawing.data["metric"] == "cost_effectiveness"]
    for system, values in WORTH.items():
        both = data[data["system"] == system].groupby("at")["value"].apply(list).to_dict()
        assert both == {at: [pytest.approx(value)] * 2 for at, value in values.items()}
    said = words(drawing.figure)
    assert "ServerlessLoRA, live" in said
    assert any("ServerlessLoRA 1.6/s" in text for text in said), "the lines turn there, not points"
    assert any("hollow: live on a card; run mine" in text for text in said)


def test_each_series_of_a_run_is_drawn_too(tmp_path: Path) -> None:
    found = list(drawings("crossing", swept(tmp_path)))
    names = [f"crossing-steady@keep_alive_s={kept}" for kept in (10, 60)]
    assert [drawing.name for drawing in found] == names
    assert "crossing" in names_for(open_sweep(REFERENCE / "crossing"))
    with pytest.raises(HarnessError, match="is a sweep"):
        list(drawings("price-of-isolation", made()))
