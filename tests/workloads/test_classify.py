"""Three estimators of the CV, checked by hand and against the published numbers of the slices."""

from __future__ import annotations

import json

import numpy as np
import pytest

from workloads.classify import classify, equidistant_cv, instainfer_cv, segments, uniform_cvs
from workloads.errors import WorkloadError
from workloads.importers.azure_functions_2019 import read_minutes
from workloads.minutes import MinuteCounts, data_root
from workloads.trace import TraceFunction

SLICES = ("predictable8_w720", "normal8_w720", "bursty8_w720", "burstyhot3_w720")


def test_instainfers_gaps_by_hand() -> None:
    """Counts 2, 0, 0, 3, 1: gaps of 0.5, 0.5 min; then 3 min, 0.5, 0.5; then 1 min."""
    gaps = np.array([0.5, 0.5, 3.0, 0.5, 0.5, 1.0])
    found = instainfer_cv(np.array([2, 0, 0, 3, 1]))
    assert found == pytest.approx(gaps.std() / gaps.mean())


def test_equidistant_gaps_by_hand() -> None:
    gaps = np.diff([0, 30, 120, 140, 160])
    assert equidistant_cv(np.array([2, 0, 3])) == pytest.approx(gaps.std() / gaps.mean())


@pytest.mark.parametrize("name", SLICES)
def test_the_slices_manifest(name: str) -> None:
    root = data_root()
    if root is None:
        pytest.skip("the public traces are not here; name their folder in SLBENCH_DATA")
    minutes = read_minutes(root / "slices" / f"{name}.csv")
    manifest = json.loads((root / "slices" / "manifest.json").read_text())
    for published in manifest[name]["functions"]:
        counts = minutes.counts[published["slot"]]
        assert instainfer_cv(counts) == pytest.approx(published["cv_instainfer"], abs=6e-4)
        assert equidistant_cv(counts) == pytest.approx(published["cv_equidistant"], abs=6e-4)
        found = uniform_cvs(counts)
        spread = max(0.02, published["cv_uniform_max"] - published["cv_uniform_min"])
        assert found.mean() == pytest.approx(published["cv_uniform_mean"], abs=spread)
        classified = classify(counts)
        assert classified is not None
        assert classified.agreed == name.split("8_")[0].split("hot")[0]


def population() -> MinuteCounts:
    random = np.random.default_rng(0)
    timers = {f"timer{i}": np.ones(600, dtype=np.int64) for i in range(6)}
    bursts = {f"burst{i}": 60 * (np.arange(600) % 50 == i) for i in range(6)}
    silent = {"silent": np.zeros(600, dtype=np.int64), "mixed": random.poisson(1, 600)}
    counts = {**timers, **bursts, **silent}
    return MinuteCounts("all", tuple(TraceFunction(id=f) for f in counts), counts)


def test_segments_hold_functions_of_the_class_alone() -> None:
    chosen = segments(population(), "bursty", seed=1, count=3, functions=4)
    assert len(chosen) == 3
    for segment in chosen:
        assert segment.minutes == 240
        assert {f.id[:5] for f in segment.functions} == {"burst"}
        assert {f.burst_class for f in segment.functions} == {"bursty"}
    assert len({tuple(f.id for f in s.functions) for s in chosen}) > 1
    again = segments(population(), "bursty", seed=1, count=3, functions=4)
    assert [s.provenance for s in again] == [s.provenance for s in chosen]


def test_too_few_of_a_class_are_refused() -> None:
    with pytest.raises(WorkloadError, match="6 bursty functions"):
        segments(population(), "bursty", seed=1, count=1, functions=8)
    with pytest.raises(WorkloadError, match="600 minutes"):
        segments(population(), "bursty", seed=1, length_min=700)
