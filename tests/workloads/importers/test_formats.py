"""Each published format is imported as its description defines."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from workloads.errors import WorkloadError
from workloads.importers import Options, detect, import_file, importer
from workloads.trace import Workload

from . import samples
from .samples import written


def imported(folder: Path, text: str, seed: int = 0) -> Workload:
    return import_file(written(folder, text), Options(seed=seed))


def column(workload: Workload, name: str) -> list[object]:
    found: list[object] = workload.requests[name].to_pylist()
    return found


@pytest.mark.parametrize(("name", "text"), samples.EVERY)
def test_a_file_is_told_by_its_first_bytes(name: str, text: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    assert detect(path) == name
    assert importer(name).FORMAT.name == name


@pytest.mark.parametrize(("name", "text"), samples.EVERY)
def test_compressed_files_are_read_as_they_are(name: str, text: str, tmp_path: Path) -> None:
    plain = imported(tmp_path, text)
    for compress in (gzip.compress, lzma.compress):
        path = tmp_path / "trace"
        path.write_bytes(compress(text.encode()))
        again = import_file(path)
        assert again.requests == plain.requests
        assert again.sha256 == plain.sha256


@pytest.mark.parametrize(("name", "text"), samples.EVERY)
def test_an_import_says_where_it_comes_from_and_survives_the_disk(
    name: str, text: str, tmp_path: Path
) -> None:
    workload = imported(tmp_path, text)
    step = workload.provenance.transforms[0].parameters
    assert (step["format"], step["skipped"]) == (name, 0)
    assert step["clock"]
    assert workload.provenance.checksum.startswith("sha256:")
    workload.write(tmp_path / "w.parquet")
    assert Workload.read(tmp_path / "w.parquet").sha256 == workload.sha256


def test_azure_2019_keeps_every_count_of_every_minute(tmp_path: Path) -> None:
    workload = imported(tmp_path, samples.MINUTES_2019)
    minute = {f: (workload.arrivals_s(f) // 60).tolist() for f in ("aaaa", "bbbb")}
    assert minute == {"aaaa": [0, 0, 2], "bbbb": [1, 1, 1]}
    assert workload.provenance.kind == "expanded"
    assert workload.duration_ns == 180 * 10**9


def test_azure_2021_calls_arrive_at_their_end_less_their_duration(tmp_path: Path) -> None:
    workload = imported(tmp_path, samples.CALLS_2021)
    # The earliest call began 139.959 µs before the trace; it is the origin.
    origin = -139_959
    ends = (57_157_860_041 - 57_158_000_000, 1_490_900, 60 * 10**9, 61 * 10**9 - 10_000)
    assert column(workload, "arrival_ns") == [end - origin for end in ends]
    assert workload.provenance.transforms[1].parameters == {"at_ns": origin}


def test_azure_2021_functions_are_pairs_of_app_and_function(tmp_path: Path) -> None:
    workload = imported(tmp_path, samples.CALLS_2021)
    assert [f.source_hash for f in workload.functions] == ["a1/g1", "a2/g1", "a1/g2"]
    assert column(workload, "function") == ["f1", "f0", "f0", "f2"]
    assert column(workload, "source_row") == [3, 2, 4, 5]


def test_azure_llm_keeps_every_digit_with_a_zone_and_without(tmp_path: Path) -> None:
    assert column(imported(tmp_path, samples.LLM_2023), "arrival_ns") == [0, 100, 1_020_040_000]
    later = imported(tmp_path, samples.LLM_2024)
    assert column(later, "arrival_ns") == [0, 7_405_000, 990_070_000]


def test_a_request_without_a_token_gets_one_and_the_provenance_says_so(tmp_path: Path) -> None:
    workload = imported(tmp_path, samples.LLM_2024)
    assert column(workload, "output_tokens") == [5, 6, 1]
    steps = {step.name: step.parameters for step in workload.provenance.transforms}
    assert steps["at-least-one-token"] == {"rows": 1}


def test_burstgpt_flags_failures_and_keeps_them_as_arrivals(tmp_path: Path) -> None:
    workload = imported(tmp_path, samples.BURST_6)
    assert column(workload, "failed") == [False, True, False, False]
    assert column(workload, "function") == ["ChatGPT", "GPT-4", "ChatGPT", "ChatGPT"]


def test_burstgpt_sessions_are_read_where_they_are_published(tmp_path: Path) -> None:
    assert column(imported(tmp_path, samples.BURST_8), "session") == ["s1", None]
    assert "session" not in imported(tmp_path, samples.BURST_6).requests.column_names


@pytest.mark.parametrize("text", [samples.BURST_6, samples.MOONCAKE])
def test_quantised_times_are_spread_within_their_grid_in_the_files_order(
    text: str, tmp_path: Path
) -> None:
    workload = imported(tmp_path, text)
    steps = {step.name: step.parameters for step in workload.provenance.transforms}
    grid = steps["uniform-within-smallest-gap"]["grid_ns"]
    published = [0, 0, 3000, 6001] if grid == 3_000_000_000 else [5000, 5000, 45_000, 46_000]
    moved = [
        at - ms * 10**6
        for at, ms in zip(workload.requests["arrival_ns"].to_pylist(), published, strict=True)
    ]
    assert all(0 <= each <= grid for each in moved)
    assert len(set(column(workload, "arrival_ns"))) == len(workload)
    assert column(workload, "source_row") == sorted(column(workload, "source_row"))  # type: ignore[type-var]


def test_spreading_depends_on_the_seed_alone(tmp_path: Path) -> None:
    first, again, other = (imported(tmp_path, samples.MOONCAKE, seed) for seed in (1, 1, 2))
    assert first.sha256 == again.sha256 != other.sha256


def test_prefix_blocks_are_kept_with_their_size(tmp_path: Path) -> None:
    mooncake, qwen = imported(tmp_path, samples.MOONCAKE), imported(tmp_path, samples.QWEN)
    sizes = [w.provenance.transforms[0].parameters["block_tokens"] for w in (mooncake, qwen)]
    assert sizes == [512, 16]
    assert column(mooncake, "prefix_hashes") == [[0, 1, 2], [0, 14], [0, 28], []]


def test_qwen_sessions_go_back_to_their_root(tmp_path: Path) -> None:
    workload = imported(tmp_path, samples.QWEN)
    assert column(workload, "arrival_ns")[2] == 61_114_000_000
    assert column(workload, "session") == ["55", "56", "55", "55", "7"]
    assert column(workload, "parent") == [None, None, 1, 3, None]
    assert column(workload, "turn") == [1, 1, 2, 3, 9]


def test_lengths_without_a_clock_are_placed_and_said_to_be(tmp_path: Path) -> None:
    placed = imported(tmp_path, samples.VIDUR)
    assert placed.provenance.kind == "composed"
    assert placed.provenance.transforms[0].parameters["arrivals"] == "equidistant"
    clocked = imported(tmp_path, samples.VIDUR_CLOCKED)
    assert clocked.provenance.kind == "recorded"
    assert column(clocked, "arrival_ns") == [0, 4_314_579_000]


def test_benchmark_requests_are_of_their_adapter(tmp_path: Path) -> None:
    workload = imported(tmp_path, samples.SLORA)
    assert column(workload, "function") == ["l-1", "l-0"]
    assert column(workload, "arrival_ns") == [125_000_000, 250_000_000]
    assert column(imported(tmp_path, samples.VLLM), "function") == ["x", "trace"]


def test_a_plain_csv_is_put_in_order_of_arrival(tmp_path: Path) -> None:
    workload = imported(tmp_path, samples.PLAIN)
    assert column(workload, "arrival_ns") == [250_000_001, 500_000_000]
    assert column(workload, "function") == ["f0", "f1"]
    assert column(workload, "prompt_tokens") == [56, 12]


def test_too_many_invocations_are_refused_before_they_are_expanded(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="999999999 invocations, at most"):
        imported(tmp_path, "HashFunction,1\naaaa,999999999\n")


def test_a_missing_minute_is_refused_since_it_would_move_those_after_it(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="each minute, without a gap"):
        imported(tmp_path, "HashFunction,1,2,4\naaaa,1,1,1\n")


def test_a_stretch_of_minutes_is_the_seconds_that_were_asked_for(tmp_path: Path) -> None:
    """It begins and ends within minutes: their other calls are left out, the rest is unchanged."""
    path = written(tmp_path, "function,0,1,2,3\na,60,60,60,60\n")
    from_minute, stretch = (Options(start_s=s, duration_s=60) for s in (60, 90))
    found = import_file(path, stretch).arrivals_s("a")
    assert import_file(path, stretch).duration_ns == 60 * 10**9
    first = import_file(path, Options(start_s=60, duration_s=120)).arrivals_s("a")
    assert found.tolist() == pytest.approx([each - 30 for each in first if 30 <= each < 90])
    assert len(import_file(path, from_minute)) == 60, "a whole minute keeps its count"


@pytest.mark.parametrize("name", ["csv", "azure-llm", "mooncake", "azure-functions-2021"])
def test_a_stretch_of_a_recording_has_its_requests_alone(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, samples.BY_FORMAT[name][0])
    whole = import_file(path)
    start_s = float(whole.arrivals_s()[1])
    length_s = whole.duration_ns / 1e9 - start_s
    found = import_file(path, Options(start_s=start_s, duration_s=length_s))
    assert found.arrivals_s().tolist() == pytest.approx(whole.arrivals_s()[1:] - start_s)
    assert found.duration_ns == pytest.approx(length_s * 1e9, abs=1)
    with pytest.raises(WorkloadError, match="no request from second"):
        import_file(path, Options(start_s=start_s + length_s + 1))
