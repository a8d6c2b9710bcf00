"""Changes to a workload by ``--set`` take effect or are refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from workloads import catalogue
from workloads.catalogue.overrides import Overrides
from workloads.errors import WorkloadError

NUMBERS = sorted(set(Overrides.model_fields) - {"lengths", "expansion", "skew"})
CAN_BE = {("start_s", 0), ("start_s", 1e-30), ("ramp", 0), ("ramp", 1e-30)}
EXTREMES = [1e30, 1e-30, float("inf"), float("nan"), 0, -1, 10**30, 10**9]


@pytest.mark.parametrize("name", ["time-breakdown", "azure-bursty8"])
@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.filterwarnings("error")
def test_no_number_ends_in_anything_but_a_refusal_of_one_line(key: str, name: str) -> None:
    for value in EXTREMES:
        if (key, value) in CAN_BE:
            continue
        with pytest.raises((WorkloadError, ValidationError)) as refused:
            catalogue.load(name, seed=0, **{key: value})
        if refused.type is WorkloadError:
            assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"time_scale": 1e30}, r"time_scale 1e\+30: azure-bursty8 lasts 14400 s.*1.44e\+07 times"),
        ({"functions": 400}, "'azure-bursty8' has 8 functions, not 400"),
        ({"start_s": 14400}, "lasts 14400 s"),
        ({"expansion": "poisson"}, "expansion applies only to azure-slice:NAME"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_what_can(
    changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(WorkloadError, match=why):
        catalogue.load("azure-bursty8", seed=0, **changes)


def test_more_seconds_than_were_recorded_are_refused() -> None:
    with pytest.raises(WorkloadError, match="has no 900 s"):
        catalogue.load("time-breakdown", seed=0, duration_s=900)


def test_a_generated_workload_begins_where_it_is_told_to() -> None:
    whole = catalogue.load("azure-bursty8", seed=0, duration_s=900)
    late = catalogue.load("azure-bursty8", seed=0, start_s=300, duration_s=600)
    times = whole.arrivals_s()
    np.testing.assert_allclose(late.arrivals_s(), times[times >= 300] - 300, atol=1e-9)
    assert late.duration_ns == 600_000_000_000


def test_a_file_is_cut_and_its_lengths_set_like_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    catalogue.load("azure-bursty8", seed=0, duration_s=900).write(path)
    found = catalogue.load(
        str(path), seed=0, start_s=300, duration_s=300, prompt_tokens=7, max_output_tokens=9
    )
    assert found.duration_ns == 300_000_000_000
    assert set(found.requests["prompt_tokens"].to_pylist()) == {7}
    assert max(found.requests["output_tokens"].to_pylist()) == 9
    assert found.provenance.transforms[-1].name == "cut-lengths"
