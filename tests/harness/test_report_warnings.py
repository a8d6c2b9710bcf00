"""Each warning about a run's cells is one line that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.commands.outcome import tell
from harness.experiment_files import load
from harness.records import Run, new_run
from harness.report.warnings import warnings
from tests.harness import made

SYSTEMS = ("serverless-lora", "instainfer", "dlora")


def made_run(folder: Path, *each: dict[str, Any]) -> Run:
    """Return a run of a cell with each of these manifests, of the systems in turn."""
    run = new_run(load("time-breakdown").model_dump(mode="json"), folder)
    for index, changes in enumerate(each):
        seed = index // len(SYSTEMS)
        made.made_cell(run, SYSTEMS[index % len(SYSTEMS)], seed=seed, **changes)
    return run


def told(run: Run, kind: str = "warning") -> list[str]:
    begin = f"{run.id}: {kind}: "
    found = (text for text in warnings(run, run.cells()) if text.startswith(begin))
    return [text.removeprefix(begin) for text in found]


def calibrated(*problems: str) -> dict[str, Any]:
    return {"calibration": {"problems": list(problems)}}


def test_different_targets_of_the_client_are_not_one(tmp_path: Path) -> None:
    half, late = "TTFT skew p50 is 0.6 ms, above 0.5 ms", "TTFT skew p99 is 4 ms, above 2 ms"
    run = made_run(tmp_path, calibrated(half, late), {}, calibrated(half.replace("0.6", "1,000")))
    assert told(run) == [
        "dlora/time-breakdown/0, serverless-lora/time-breakdown/0:"
        " TTFT skew p50 is 0.6–1,000 ms, above 0.5 ms",
        f"serverless-lora/time-breakdown/0: {late}",
    ]


def test_a_warning_of_several_cells_is_said_once(tmp_path: Path) -> None:
    cold, stood = {"warnings": ("cold",)}, {"warnings": ("cold", "it stood still")}
    run = made_run(tmp_path, cold, cold, {}, stood, {})
    assert told(run) == [
        "instainfer/time-breakdown/0, serverless-lora: cold",
        "serverless-lora/time-breakdown/1: it stood still",
    ]


def test_a_sensor_that_cells_lack_names_them(tmp_path: Path) -> None:
    lacking = {"telemetry": {"missing": ["nvml: not found"]}}
    assert told(made_run(tmp_path, lacking, {}), "missing sensor") == [
        "serverless-lora/time-breakdown/0: nvml: not found"
    ]


def test_a_run_ends_with_one_line_of_the_client_for_cells_that_calibrated_it_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run = made_run(tmp_path, *[calibrated(f"CPU per event is {n} µs") for n in (26, 30, 28)])
    tell(run, as_json=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning:")]
    assert lines == ["warning: all 3 cells: CPU per event is 26–30 µs"]
