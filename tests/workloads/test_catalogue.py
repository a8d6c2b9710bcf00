"""Workloads by name; fitted workloads are compared with the data they were fitted to."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from workloads import catalogue
from workloads.catalogue.writing import fitted_toml
from workloads.errors import WorkloadError
from workloads.expansion import expand
from workloads.fit import fit, measure
from workloads.generators import process
from workloads.generators.clusters import Clusters
from workloads.importers.azure_functions_2019 import read_minutes
from workloads.minutes import data_root

FITTED = ("bursty", "normal", "predictable")


def slice_of(kind: str) -> Path:
    root = data_root()
    if root is None:
        pytest.skip("the public traces are not here; name their folder in SLBENCH_DATA")
    return root / "slices" / f"{kind}8_w720.csv"


def test_the_time_breakdown_has_the_papers_eight_arrivals() -> None:
    workload = catalogue.load("time-breakdown", seed=0, prompt_tokens=64, output_tokens=8)
    found = list(zip(workload.requests["function"].to_pylist(), workload.arrivals_s(), strict=True))
    assert found == [
        ("A", 0.0),
        ("B", 10.0),
        ("B", 20.95),
        ("C", 21.9),
        ("A", 31.9),
        ("C", 33.9),
        ("B", 36.9),
        ("A", 44.9),
    ]
    assert set(workload.requests["prompt_tokens"].to_pylist()) == {64}


@pytest.mark.parametrize("kind", FITTED)
def test_the_same_seed_gives_the_same_workload(kind: str) -> None:
    name = f"azure-{kind}8"
    first, second, other = (catalogue.load(name, seed=s) for s in (1, 1, 2))
    assert first.sha256 == second.sha256 != other.sha256
    assert len(first.functions) == 8


def test_overrides_bound_lengths_and_scale_time() -> None:
    workload = catalogue.load(
        "azure-bursty8", seed=0, duration_s=900, time_scale=20, max_prompt_tokens=16
    )
    assert workload.duration_ns == 45_000_000_000
    assert max(workload.requests["prompt_tokens"].to_pylist()) <= 16


def test_the_first_functions_alone_are_called_as_beside_the_others() -> None:
    every = catalogue.load("azure-bursty8", seed=0, duration_s=900)
    three = catalogue.load("azure-bursty8", seed=0, duration_s=900, functions=3)
    assert [each.id for each in three.functions] == ["f0", "f1", "f2"]
    for each in three.functions:
        assert three.arrivals_s(each.id).tolist() == every.arrivals_s(each.id).tolist()
    assert three.requests["id"].to_pylist() == list(range(len(three)))
    assert three.provenance.transforms[-2].name == "first"


def test_what_is_unknown_is_refused_with_what_is_known() -> None:
    with pytest.raises(WorkloadError, match="azure-bursty8"):
        catalogue.load("nothing", seed=0)
    with pytest.raises(ValidationError, match="speed"):
        catalogue.load("azure-bursty8", seed=0, speed=2)


def test_a_trace_that_is_not_imported_is_told_how(tmp_path: Path) -> None:
    trace = tmp_path / "calls.csv"
    trace.write_text("arrival_s,function,prompt_tokens,output_tokens\n0,a,10,5\n")
    with pytest.raises(WorkloadError, match=f"slbench workloads import {trace} -o calls.parquet"):
        catalogue.load(str(trace), seed=0)


def test_without_the_data_a_slice_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLBENCH_DATA", "/nowhere")
    with pytest.raises(WorkloadError, match="SLBENCH_DATA"):
        catalogue.load("azure-slice:bursty8_w720", seed=0)


@pytest.mark.parametrize("kind", FITTED)
def test_the_shipped_workloads_are_what_the_fit_makes_of_the_data(kind: str) -> None:
    about = catalogue.describe(f"azure-{kind}8")
    made = fitted_toml(read_minutes(slice_of(kind)), about["summary"], about["source"], Clusters)
    shipped = (catalogue.FOLDER / f"azure-{kind}8.toml").read_text(encoding="utf-8")
    assert made == shipped


@pytest.mark.parametrize("kind", FITTED)
def test_the_generator_comes_close_to_the_real_slice(kind: str) -> None:
    """Medians over seeds: the rate is within 15 %, the other statistics within a factor. The TOML
    files state the factor for each function."""
    real = read_minutes(slice_of(kind))
    simulated = [catalogue.load(f"azure-{kind}8", seed=s) for s in range(10)]
    distances = []
    for function in real.functions:
        observed = fit(real.counts[function.id]).observed
        samples = [measure(w.arrivals_s(function.id), real.duration_s) for w in simulated]
        for name in ("rate_rps", "cv", "dispersion_60s", "peak_to_mean"):
            median = float(np.nanmedian([sample[name] for sample in samples]))
            if observed[name] > 0.05:
                distances.append(abs(np.log(median / observed[name])))
    assert np.mean(distances) < 0.2
    totals = [len(w) / real.duration_s for w in simulated]
    observed_rate = sum(c.sum() for c in real.counts.values()) / real.duration_s
    assert np.mean(totals) == pytest.approx(observed_rate, rel=0.15)


def test_expansion_keeps_every_count_and_makes_no_tie() -> None:
    minutes = read_minutes(slice_of("bursty"))
    workload = expand(minutes, seed=3)
    for function in minutes.functions:
        times = workload.arrivals_s(function.id)
        counts = np.bincount((times // 60).astype(int), minlength=240)
        assert counts.tolist() == minutes.counts[function.id].tolist()
    arrivals = workload.requests["arrival_ns"].to_numpy()
    assert len(np.unique(arrivals)) == len(arrivals)


def test_a_broken_count_is_refused_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text("function,0,1\nf0,3,many\n")
    with pytest.raises(WorkloadError, match=r"counts\.csv"):
        read_minutes(path)
    path.write_text("function,0,1\n")
    with pytest.raises(WorkloadError, match="no readable azure-functions-2019 row"):
        read_minutes(path)


@pytest.mark.parametrize("key", ["at_s = 31.9", "duration_s"])
def test_an_entry_of_moments_that_are_no_numbers_is_refused_in_a_line(
    tmp_path: Path, key: str
) -> None:
    shipped = (catalogue.FOLDER / "time-breakdown.toml").read_text(encoding="utf-8")
    (line,) = (text for text in shipped.splitlines() if key in text)
    name, _, value = key.partition(" = ")
    spoilt = line.replace(key, f"{name} = nan") if value else f"{name} = nan"
    entry = tmp_path / "entry.toml"
    entry.write_text(shipped.replace(line, spoilt), encoding="utf-8")
    with pytest.raises(WorkloadError, match=r"nan s is not a time|duration_s: nan is not right"):
        catalogue.load(str(entry), seed=0)


def test_a_burst_without_end_is_refused() -> None:
    with pytest.raises(ValidationError, match="busy_share"):
        process(
            {"kind": "mmpp-2", "rate_rps": 5, "cv": 1.1, "dispersion": 24, "busy_share": 1e-320}
        )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('sumary = "a"', "sumary: is not a key here; did you mean summary?"),
        ("lengths = { median = 4 }", "lengths: is not a key here; known: summary, source, durat"),
        ("[lenghts]", "lenghts: is not a key here; known: summary, source, "),
        ("[poplation]", "poplation: is not a key here; did you mean population?"),
        ('kind = "recorded"', "kind: is not a key here; known: summary, "),
        (
            "[[function]]\nproces = {}",
            "function[0].proces: is not a key here; did you mean process?",
        ),
        ("[[arrivals]]\nat = 1", "arrivals[0].at: is not a key here; did you mean at_s?"),
    ],
)
def test_an_unknown_key_of_an_entry_is_refused_with_the_nearest(
    tmp_path: Path, line: str, told: str
) -> None:
    shipped = (catalogue.FOLDER / "steady.toml").read_text(encoding="utf-8")
    entry = tmp_path / "mine.toml"
    parts = (shipped, line) if line.startswith("[") else (line, shipped)
    entry.write_text("\n".join(parts), encoding="utf-8")
    with pytest.raises(WorkloadError) as refused:
        catalogue.load(str(entry), seed=0)
    assert str(refused.value).startswith(f"{entry}: {told}")


@pytest.mark.parametrize("key", ["rate_rps", "exponent", "cv"])
def test_a_wrong_value_within_an_entry_names_the_file(tmp_path: Path, key: str) -> None:
    entry = tmp_path / "mine.toml"
    shipped = (catalogue.FOLDER / "lora-zipf-100.toml").read_text(encoding="utf-8")
    entry.write_text(re.sub(rf"\b{key} = ", f"{key}x = ", shipped), encoding="utf-8")
    with pytest.raises(ValidationError) as refused:
        catalogue.load(str(entry), seed=0)
    assert str(entry) in refused.value.__notes__
