"""The code of docs/python.md and of its notebook, as it is printed; the frames against records."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest

import harness
from harness import compare, load_run, run
from harness.cost import request_costs
from harness.errors import HarnessError
from harness.records import new_run

from . import made
from .pages import ROOT
from .swept import swept_run

GUIDE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
NOTEBOOK = json.loads((ROOT / "docs" / "sweep.ipynb").read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with the reference runs of a checkout."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "reference").symlink_to(ROOT / "results" / "reference")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def execute(parts: list[str]) -> dict[str, Any]:
    """Execute the parts one after another, as a notebook does; return their names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, part in enumerate(parts):
        exec(compile(part, f"part {number}", "exec"), names)
    return names


def test_the_code_of_the_guide_runs_as_it_is_printed(folder: Path) -> None:
    names = execute(re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL))
    assert set(names["ours"]["metric"]) == {"ttft_s.mean", "cost_usd"}
    assert names["ours"]["ratio"].notna().all()
    assert len(names["slowest"]) == 3
    assert {path.name for path in (folder / "pictures").glob("*.png")} == {"ttft-distribution.png"}


def test_the_cells_of_the_notebook_run_in_order(folder: Path) -> None:
    cells = [each for each in NOTEBOOK["cells"] if each["cell_type"] == "code"]
    assert all(each["outputs"] == [] for each in cells)
    names = execute(["".join(each["source"]) for each in cells])
    assert names["done"].valid
    assert list(names["curves"].index) == [1, 4, 16]
    assert len(names["axis"].lines) == 2
    plt.close("all")


def test_every_name_of_the_api_is_in_the_guide_and_nothing_is_promised_beyond_it() -> None:
    assert all(f"`{name}" in GUIDE for name in harness.__all__)
    imported = set(re.findall(r"from harness import (.*)", GUIDE))
    assert {name for line in imported for name in line.split(", ")} <= set(harness.__all__)
    assert callable(harness.compare), "no module of that name"


def test_frames_are_the_records_with_what_the_guide_derives(tmp_path: Path) -> None:
    data = load_run(made.made_run(tmp_path).path)
    for name, table in (("requests", "requests"), ("spans", "spans"), ("memory", "memory"),
                        ("bill", "billing")):  # fmt: skip
        frame = getattr(data, name)
        stored = [cell.table(table) for cell in data.cells]
        assert len(frame) == sum(each.num_rows for each in stored)
        (row,) = re.findall(rf"\| `{name}` \|.*\|(.*)\|", GUIDE)
        derived = set(re.findall(r"`(\w+)`", row))
        assert set(frame) == {*stored[0].column_names, "run", "system", "workload", "seed",
                              "repeat", *derived}  # fmt: skip
    for cell in data.cells:
        mine = data.requests[data.requests["system"] == cell.system]
        tables = (cell.table(name) for name in ("billing", "requests", "spans"))
        _, idle = request_costs(*tables)
        assert mine["cost_usd"].sum() + idle == pytest.approx(
            data.bill[data.bill["system"] == cell.system]["usd"].sum()
        )


def test_what_an_endpoint_does_not_tell_is_missing_and_not_zero(tmp_path: Path) -> None:
    record = new_run({"name": "endpoint"}, tmp_path)
    made.made_cell(record, "openai-endpoint", made.unseen_tables())
    data = load_run(record.path)
    assert data.requests["cost_usd"].isna().all()
    assert data.requests["start_type"].isna().all()
    assert len(data.spans) == len(data.memory) == len(data.bill) == 0
    assert {"system", "seconds", "stage"} <= set(data.spans)
    assert "cost_usd" not in set(compare(data)["metric"])


def test_the_point_of_a_sweep_is_a_column_of_frames_and_comparisons(tmp_path: Path) -> None:
    record = swept_run(tmp_path, {"workloads.time_scale": [1, 64]})
    data = load_run(record.path)
    for frame in (data.requests, data.bill, compare(data, metrics="ttft_s.mean")):
        assert set(frame["workload"]) == {"steady"}
        assert set(frame["workloads.time_scale"]) == {1, 64}
    means = data.requests.groupby(["system", "workloads.time_scale"])["ttft_s"].mean()
    rows = compare(data, metrics=["ttft_s.mean"]).set_index(["system", "workloads.time_scale"])
    pd.testing.assert_series_equal(
        rows["value"].sort_index(), means.sort_index(), check_names=False
    )


def test_a_wrong_request_is_refused_in_a_line_and_leaves_no_folder(tmp_path: Path) -> None:
    for ask in (
        lambda: load_run(tmp_path / "nothing"),
        lambda: run("saturatoin", out=tmp_path),
        lambda: run("saturation", {"prices": "free"}, out=tmp_path),
        lambda: compare(made.made_run(tmp_path / "made").path, metrics=["ttft"]),
    ):
        with pytest.raises(HarnessError) as reason:
            ask()
        assert "\n" not in str(reason.value)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
