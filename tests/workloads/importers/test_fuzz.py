"""For any file content, an importer returns a workload or raises a one-line WorkloadError."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workloads.errors import WorkloadError
from workloads.importers import Options, import_file, importer, names

from . import samples

# The examples of a test share one folder; each overwrites the file of the previous one.
FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
PIECES = (
    b'|\n|\r|,|"|{|-1|1e400|1e-05|1e9999999999999999999|NaN|null|1_0|2023-02-30|"\\ud800"|'
    b"\x00|\xff|\xef\xbb\xbf|\x1f\x8b"
)
ODD = st.sampled_from([b"[" * 3000, b"9" * 5000, *PIECES.split(b"|")])


def outcome(path: Path, name: str | None, skip: bool) -> None:
    try:
        workload = import_file(path, Options(skip_bad=skip), name)
    except WorkloadError as refused:
        message = str(refused)
    else:
        assert len(workload) == workload.requests.num_rows
        assert workload.sha256
        return
    assert str(path) in message
    assert "\n" not in message


@st.composite
def mutated(draw: st.DrawFn, text: str) -> bytes:
    """Replace a few parts of the sample by unusual values or random bytes."""
    data = text.encode()
    for _ in range(draw(st.integers(1, 3))):
        at, length = draw(st.integers(0, len(data))), draw(st.integers(0, 6))
        data = data[:at] + draw(ODD | st.binary(max_size=6)) + data[at + length :]
    return data


@pytest.mark.parametrize("name", names())
@FUZZ
@given(data=st.data())
def test_mutated_rows(name: str, data: st.DataObject, tmp_path: Path) -> None:
    text = data.draw(st.sampled_from(samples.BY_FORMAT[name]))
    path = tmp_path / "trace"
    path.write_bytes(data.draw(mutated(text)))
    outcome(path, name, data.draw(st.booleans()))


@pytest.mark.parametrize("name", [None, *names()])
@FUZZ
@given(content=st.binary(max_size=300), skip=st.booleans())
def test_random_bytes(name: str | None, content: bytes, skip: bool, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(content)
    if name is not None:
        importer(name).sniff(path, content)
    outcome(path, name, skip)


@FUZZ
@given(data=st.data())
def test_damaged_compression(data: st.DataObject, tmp_path: Path) -> None:
    whole = gzip.compress(samples.PLAIN.encode() * 50)
    at = data.draw(st.integers(2, len(whole) - 1))
    path = tmp_path / "trace"
    path.write_bytes(whole[:at] + data.draw(st.binary(max_size=4)))
    outcome(path, None, skip=True)


def test_a_name_with_nul_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text("HashOwner,HashApp,HashFunction,Trigger,1\no,a,\0f,http,2\n", encoding="utf-8")
    workload = import_file(path, Options(), "azure-functions-2019")
    assert [each.id for each in workload.functions] == ["\0f"]
    assert workload.requests["function"].to_pylist() == ["\0f", "\0f"]
