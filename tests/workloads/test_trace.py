"""A workload is immutable, validated, hashed by content, and records its transforms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workloads.columns import json_pieces
from workloads.errors import WorkloadError
from workloads.lengths import LogNormal, with_lengths
from workloads.prompts import RESERVED, prompt_ids
from workloads.statistics import cv
from workloads.streams import Streams, stream
from workloads.trace import Provenance, TraceFunction, Workload, from_arrivals

SOURCE = Provenance(kind="synthetic", source="a test")


def make(**arrivals_s: list[float]) -> Workload:
    times = {name: np.rint(np.array(found) * 1e9) for name, found in arrivals_s.items()}
    functions = [TraceFunction(id=name) for name in arrivals_s]
    return from_arrivals("made", functions, times, SOURCE, 100_000_000_000)


def test_requests_are_in_order_of_arrival_over_all_functions() -> None:
    workload = make(a=[3.0, 1.0], b=[2.0])
    assert workload.requests["function"].to_pylist() == ["a", "b", "a"]
    assert workload.requests["id"].to_pylist() == [0, 1, 2]
    assert workload.arrivals_s("a").tolist() == [1.0, 3.0]


def test_the_hash_is_of_the_content_alone(tmp_path: Path) -> None:
    workload = make(a=[1.0, 2.0])
    workload.write(tmp_path / "w.parquet")
    again = Workload.read(tmp_path / "w.parquet")
    assert again == workload
    assert again.sha256 == workload.sha256
    assert make(a=[1.0, 2.000000001]).sha256 != workload.sha256


def test_compressing_time_keeps_the_burstiness_and_is_written_down() -> None:
    workload = make(a=[0.0, 1.0, 1.5, 9.0, 50.0])
    fast = workload.compress(10)
    assert fast.duration_ns == workload.duration_ns // 10
    assert cv(fast.arrivals_s()) == pytest.approx(cv(workload.arrivals_s()))
    assert [step.name for step in fast.provenance.transforms] == ["compress"]


def test_a_window_counts_from_its_own_start() -> None:
    window = make(a=[1.0, 5.0, 6.0, 20.0]).window(5, 10)
    assert window.arrivals_s().tolist() == [0.0, 1.0]
    assert window.requests["id"].to_pylist() == [0, 1]
    assert window.duration_ns == 10_000_000_000


def test_what_is_inconsistent_is_refused() -> None:
    workload = make(a=[1.0])
    with pytest.raises(WorkloadError, match="unknown"):
        Workload("w", (), workload.requests, SOURCE, 1)
    with pytest.raises(WorkloadError, match="not in order"):
        make(a=[-1.0])
    with pytest.raises(WorkloadError, match="time_scale"):
        workload.compress(0)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("not parquet")
    with pytest.raises(WorkloadError, match=r"x\.parquet"):
        Workload.read(tmp_path / "x.parquet")


def test_lengths_are_drawn_per_function_within_their_bounds() -> None:
    prompt = LogNormal(median=50, sigma=0.5, low=10, high=100)
    output = LogNormal(median=8, sigma=0, high=8)
    one = with_lengths(make(a=[1.0] * 500), 3, prompt, output)
    two = with_lengths(make(a=[1.0] * 500, b=[0.5] * 9), 3, prompt, output)
    lengths = one.requests["prompt_tokens"].to_numpy()
    assert lengths.min() >= 10
    assert lengths.max() <= 100
    assert 45 < np.median(lengths) < 55
    assert set(one.requests["output_tokens"].to_pylist()) == {8}
    of_a = [f == "a" for f in two.requests["function"].to_pylist()]
    assert two.requests["prompt_tokens"].to_numpy()[of_a].tolist() == lengths.tolist()


def test_prompts_have_the_wanted_length_and_depend_on_the_request_alone() -> None:
    ids = prompt_ids(0, 7, 33, 1000)
    assert ids.shape == (33,)
    assert ids.min() >= RESERVED
    assert ids.max() < 1000
    assert (ids == prompt_ids(0, 7, 33, 1000)).all()
    assert (ids != prompt_ids(0, 8, 33, 1000)).any()


def test_the_hash_of_a_large_column_does_not_depend_on_its_pieces() -> None:
    for count in (0, 1, 65_536, 65_537, 200_000):
        values = list(range(count))
        assert b"".join(json_pieces(pa.chunked_array([values], pa.int64()))) == (
            json.dumps(values).encode()
        )


def test_optional_columns_are_hashed_only_where_they_are() -> None:
    plain = make(a=[1.0, 2.0])
    with_turns = [
        replace(plain, requests=plain.requests.append_column("turn", pa.array(turns, pa.int32())))
        for turns in ([1, 2], [1, 3])
    ]
    assert len({plain.sha256, *(each.sha256 for each in with_turns)}) == 3


def test_a_single_generator_draws_the_same_streams() -> None:
    """Whatever was drawn of one stream before, half a buffered word included, the next is whole."""
    streams = Streams()
    for key, count in ((1, 3), (2, 8), (1, 5), (-7, 1)):
        drawn = streams.stream(9, "prompt", key).integers(0, 1000, size=count, dtype=np.int32)
        expected = stream(9, "prompt", key).integers(0, 1000, size=count, dtype=np.int32)
        assert drawn.tolist() == expected.tolist()


def test_one_without_requests_has_no_rows_and_gets_no_lengths() -> None:
    empty, model = make(a=[]), LogNormal(median=3, sigma=0)
    assert empty.rows() == {}
    assert len(with_lengths(empty, 0, model, model)) == 0


@pytest.mark.parametrize("about", [{}, {"functions": [{"id": "a", "of a later version": 1}]}, []])
def test_metadata_of_another_form_is_refused_in_one_line(about: object, tmp_path: Path) -> None:
    metadata = {b"slbench.workload": json.dumps(about).encode()}
    pq.write_table(make(a=[1.0]).requests.replace_schema_metadata(metadata), tmp_path / "x")
    with pytest.raises(WorkloadError, match="not a workload written by this suite"):
        Workload.read(tmp_path / "x")
