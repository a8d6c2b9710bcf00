"""Calibrate a real client on this machine and check the reported numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from harness.calibration.phases import sending, streaming
from harness.cli import build

pytestmark = pytest.mark.timed


def test_the_command_gives_one_document_with_the_promised_keys() -> None:
    result = CliRunner().invoke(build(["calibrate"]), ["calibrate", "--quick", "--json"])
    document = json.loads(result.stdout)
    assert result.exit_code == bool(document["problems"])
    assert {"p50", "p99"} <= document["lateness_ms"].keys() & document["ttft_skew_ms"].keys()
    assert 0 < document["lateness_ms"]["p50"] <= document["lateness_ms"]["p99"]
    assert 0 < document["ttft_skew_ms"]["p50"] <= document["ttft_skew_ms"]["p99"]
    assert document["ttft_skew_ms"]["n"] == 512
    assert document["cpu_us_per_event"] > 0
    assert (document["max_rate_rps"], document["max_streams"]) == (None, None)
    assert 0 <= document["machine"]["steal"] <= 1
    for problem in document["problems"]:
        assert problem in result.stderr


@pytest.mark.parametrize(("phase", "rate"), [(sending(500, 4.0), 500), (streaming(256, 4.0), 256)])
def test_a_load_is_the_rate_and_the_streams_that_it_is_called(phase, rate) -> None:  # type: ignore[no-untyped-def]
    schedule = phase.schedule()
    assert len(schedule) == rate * 4
    assert schedule.duration_ns <= 4_000_000_000
    gaps = np.diff(schedule.table["scheduled_ns"].to_numpy())
    assert np.std(gaps) / np.mean(gaps) == pytest.approx(1, abs=0.1), "Poisson: CV of gaps is 1"


def test_the_same_load_every_time() -> None:
    assert streaming(256, 1.0).schedule().sha256 == streaming(256, 1.0).schedule().sha256
