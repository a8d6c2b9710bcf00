"""The published files, if present: counts and spans are those of the publishers, and no arrivals
tie that do not tie in the source."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from workloads import catalogue
from workloads.errors import WorkloadError
from workloads.importers import Options, detect, import_file
from workloads.importers.azure_functions_2019 import read_minutes
from workloads.importers.bad_rows import BadRows
from workloads.importers.servegen import _clients
from workloads.minutes import data_root
from workloads.statistics import cv, describe, dispersion, peak_to_mean

ROOT = data_root()
pytestmark = pytest.mark.skipif(ROOT is None, reason="no public traces: set SLBENCH_DATA")


def real(name: str) -> Path:
    assert ROOT is not None
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"{name} is not among the public traces here")
    return path


@pytest.mark.parametrize(
    ("name", "form", "requests", "minutes"),
    [
        ("azure_llm_2023/AzureLLMInferenceTrace_code.csv", "azure-llm", 8_819, 57.3),
        ("azure_llm_2023/AzureLLMInferenceTrace_conv.csv", "azure-llm", 19_366, 58.4),
        ("mooncake_fast25/conversation_trace.jsonl", "mooncake", 12_031, 59.0),
    ],
)
def test_published_counts_and_spans(name: str, form: str, requests: int, minutes: float) -> None:
    path = real(name)
    workload = import_file(path)
    assert detect(path) == form
    assert len(workload) == requests
    assert workload.duration_ns / 60e9 == pytest.approx(minutes, abs=0.06)


def test_azure_llm_has_no_tie_that_its_text_has_not() -> None:
    path = real("azure_llm_2023/AzureLLMInferenceTrace_conv.csv")
    texts = {line.split(",")[0] for line in path.read_text().splitlines()[1:]}
    times = import_file(path).requests["arrival_ns"].to_numpy()
    assert len(np.unique(times)) == len(texts)


def test_mooncake_is_spread_over_its_three_second_grid() -> None:
    workload = import_file(real("mooncake_fast25/conversation_trace.jsonl"))
    times = workload.requests["arrival_ns"].to_numpy()
    assert (np.diff(times) > 0).all()
    grid = workload.provenance.transforms[-1].parameters["grid_ns"]
    assert grid == pytest.approx(3e9, rel=0.01)


def test_azure_2021_pairs() -> None:
    workload = import_file(real("azure_functions_2021_head199/Azure2021_200.csv"))
    assert (len(workload), len(workload.functions)) == (199, 31)
    apps = {(function.source_hash or "").split("/")[0] for function in workload.functions}
    assert len(apps) == 13


def test_vidur_lengths() -> None:
    name = "arxiv_summarization_stats_llama2_tokenizer_filtered_v2.csv.xz"
    assert len(import_file(real(f"vidur_lengths/{name}"))) == 28_257


@pytest.mark.parametrize("name", ["predictable8", "normal8", "bursty8", "burstyhot3"])
def test_slices_as_their_manifest_says(name: str) -> None:
    about = json.loads(real("slices/manifest.json").read_text())[f"{name}_w720"]
    workload = import_file(real(f"slices/{name}_w720.csv"), Options(seed=1))
    stats = about["stats"]
    assert len(workload) == stats["n"]
    duration_s = workload.duration_ns / 1e9
    assert len(workload) / duration_s == pytest.approx(stats["rate_rps"], abs=1e-4)
    times = workload.arrivals_s()
    assert dispersion(times, 60, duration_s) == pytest.approx(stats["agg_IoD60s"], rel=0.02)
    assert peak_to_mean(times, duration_s) == pytest.approx(stats["agg_peak_to_mean_min"], rel=0.01)
    assert cv(times) == pytest.approx(stats["agg_cv"], rel=0.06)
    each = {f["slot"]: f["n"] for f in about["functions"]}
    assert {f.id: len(workload.arrivals_s(f.id)) for f in workload.functions} == each


@pytest.mark.slow
def test_the_whole_2019_sample() -> None:
    workload = import_file(real("azure_functions_2019_500x8h/invocations.csv"))
    assert (len(workload), len(workload.functions)) == (3_037_902, 500)
    assert workload.duration_ns == 480 * 60 * 10**9
    triggers = [function.trigger for function in workload.functions]
    assert (triggers.count("timer"), triggers.count("http")) == (247, 139)


def test_the_2019_sample_has_its_times_and_memory() -> None:
    minutes = read_minutes(real("azure_functions_2019_500x8h/invocations.csv"))
    joins = [step.parameters for step in minutes.provenance.transforms[1:]]
    joined = {step["file"]: step["functions"] for step in joins}
    assert joined == {"durations.csv": 500, "memory.csv": 500}
    first = next(f for f in minutes.functions if str(f.source_hash).startswith("50c299e1"))
    assert first.duration_ms == 6108


@pytest.mark.parametrize(("days", "functions"), [("top10", 10), ("top5", 5)])
def test_the_busiest_functions_of_a_day(days: str, functions: int) -> None:
    """1,440 columns. A day of the five busiest functions is too large to expand, an hour is not."""
    path = real(f"azure_functions_2019_top14_24h/{days}_invocations.csv")
    minutes = read_minutes(path)
    assert (len(minutes.functions), minutes.minutes) == (functions, 1440)
    hour = import_file(path, Options(start_s=36_000, duration_s=3600))
    wanted = sum(int(counts[600:660].sum()) for counts in minutes.counts.values())
    assert len(hour) == wanted
    times = hour.requests["arrival_ns"].to_numpy()
    for rows in hour.rows().values():
        assert (np.diff(times[np.sort(rows)]) > 0).all()


def test_a_day_too_large_says_what_to_ask_for() -> None:
    with pytest.raises(WorkloadError, match="--from"):
        import_file(real("azure_functions_2019_top14_24h/top5_invocations.csv"))


@pytest.mark.slow
def test_servegens_pools() -> None:
    """Clients and windows match the README of the data; the number of requests matches the rates
    within noise; lengths come from the dataset archive in the same folder."""
    path = real("servegen/all_trace_csv.tar.xz")
    with pytest.raises(WorkloadError, match="reason/deepseek-r1"):
        import_file(path)
    hour = Options(part="reason/deepseek-r1", start_s=36_000, duration_s=3600, seed=1)
    workload = import_file(path, hour)
    assert workload.provenance.transforms[0].parameters["clients"] == 73
    assert workload.provenance.transforms[1].parameters["clients"] == 73
    assert workload.duration_ns == 3600 * 10**9
    times = workload.requests["arrival_ns"].to_numpy()
    assert (np.diff(times) >= 0).all()
    assert (workload.requests["output_tokens"].to_numpy() > 1).mean() > 0.8
    clients = dict(_clients(path, "reason/deepseek-r1", BadRows(path)))
    assert {len(windows) for windows in clients.values()} == {144}
    inside = [w for found in clients.values() for w in found if 36_000 <= w.start_s < 39_600]
    expected = sum(w.rate_rps * 600 for w in inside)
    noise = sum(w.cv**2 * w.rate_rps * 600 for w in inside) ** 0.5
    assert len(workload) == pytest.approx(expected, abs=4 * noise)


# Statistics of the published files at their first import; they show changes of the importers.
@pytest.mark.parametrize(
    ("name", "prompt", "output", "rate", "gap_cv", "iod"),
    [
        ("code", (1469, 5187.6, 7436), (13, 55, 251.46), 2.567, 13.15, 164.0),
        ("conv", (1020, 2734.5, 4142), (129, 424, 601), 5.530, 1.094, 16.13),
    ],
)
def test_azure_llm_statistics(
    name: str,
    prompt: tuple[float, ...],
    output: tuple[float, ...],
    rate: float,
    gap_cv: float,
    iod: float,
) -> None:
    workload = import_file(real(f"azure_llm_2023/AzureLLMInferenceTrace_{name}.csv"))
    found = describe(workload)
    assert tuple(found["prompt_tokens"].values()) == pytest.approx(prompt, rel=1e-3)
    assert tuple(found["output_tokens"].values()) == pytest.approx(output, rel=1e-3)
    assert found["rate_rps"] == pytest.approx(rate, rel=1e-3)
    assert found["cv"] == pytest.approx(gap_cv, rel=1e-3)
    assert found["dispersion_60s"] == pytest.approx(iod, rel=1e-3)


@pytest.mark.parametrize("name", ["code", "conv"])
def test_the_shipped_lengths_have_the_means_of_the_trace(name: str) -> None:
    recorded = import_file(real(f"azure_llm_2023/AzureLLMInferenceTrace_{name}.csv"))
    models = catalogue.named_lengths(f"llm-{name}")
    for model, column in zip(models, ("prompt_tokens", "output_tokens"), strict=True):
        drawn = model.draw(np.random.default_rng(0), 200_000)
        assert drawn.mean() == pytest.approx(recorded.requests[column].to_numpy().mean(), rel=0.05)
