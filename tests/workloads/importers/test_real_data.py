"""The published files themselves, where they are at hand: counts and spans as their publishers
give them, and no tie that the source does not have."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from workloads.importers import Options, detect, import_file
from workloads.minutes import data_root
from workloads.statistics import dispersion

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


@pytest.mark.parametrize("name", ["predictable8", "normal8", "bursty8"])
def test_slices_as_their_manifest_says(name: str) -> None:
    about = json.loads(real("slices/manifest.json").read_text())[f"{name}_w720"]
    workload = import_file(real(f"slices/{name}_w720.csv"), Options(seed=1))
    stats = about["stats"]
    assert len(workload) == stats["n"]
    duration_s = workload.duration_ns / 1e9
    assert len(workload) / duration_s == pytest.approx(stats["rate_rps"], abs=1e-4)
    found = dispersion(workload.arrivals_s(), 60, duration_s)
    assert found == pytest.approx(stats["agg_IoD60s"], rel=0.02)
    each = {f["slot"]: f["n"] for f in about["functions"]}
    assert {f.id: len(workload.arrivals_s(f.id)) for f in workload.functions} == each


@pytest.mark.slow
def test_the_whole_2019_sample() -> None:
    workload = import_file(real("azure_functions_2019_500x8h/invocations.csv"))
    assert (len(workload), len(workload.functions)) == (3_037_902, 500)
    assert workload.duration_ns == 480 * 60 * 10**9
    triggers = [function.trigger for function in workload.functions]
    assert (triggers.count("timer"), triggers.count("http")) == (247, 139)
