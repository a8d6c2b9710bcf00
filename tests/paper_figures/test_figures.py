"""Figures come from records alone, and say what they rest on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.errors import HarnessError
from paper_figures import draw, figure_names
from tests.harness.made import made_run


@pytest.mark.parametrize("name", figure_names())
def test_the_same_records_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    run = made_run(tmp_path / "runs")
    first, second = (draw(name, run, tmp_path / folder) for folder in ("a", "b"))
    assert len(first) == 1
    for one, two in zip(first, second, strict=True):
        for suffix in (".png", ".csv", ".svg", ".pdf"):
            assert one.with_suffix(suffix).read_bytes() == two.with_suffix(suffix).read_bytes()
        caption = one.with_suffix(".svg").read_text(encoding="utf-8")
        assert f"; run {run.id}" in caption


def test_a_bar_is_the_sum_of_its_stages(tmp_path: Path) -> None:
    (path,) = draw("time-breakdown", made_run(tmp_path / "runs"), tmp_path)
    data = pd.read_csv(path.with_suffix(".csv"))
    cold = data[(data["system"] == "serverless-lora") & (data["request_id"] == 0)].iloc[0]
    pieces = cold[["queue", "warming", "artifacts", "model", "inference"]].tolist()
    assert pieces == pytest.approx([0, 0.1, 0.3, 0.1, 0.198])
    failed = data[data["request_id"] == 2]
    assert failed["inference"].eq(0).all()
    assert failed["status"].eq("http_5xx").all()


def test_an_unknown_figure_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="time-breakdown"):
        draw("nothing", made_run(tmp_path), tmp_path)
