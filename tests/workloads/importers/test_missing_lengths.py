"""No import makes one-token requests silently. Requests without lengths in the source get lengths
from a named distribution, are left out, or are marked as placeholders."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.commands.workloads import app
from workloads import catalogue
from workloads.importers import Options, import_file
from workloads.lengths import LogNormal, lacks_lengths
from workloads.trace import Workload

from . import samples
from .samples import written

LENGTHS = (LogNormal(median=40, sigma=0), LogNormal(median=50, sigma=0))
DATASET = json.dumps({"0": {"input_tokens": "{30: 1.0}", "output_tokens": "{20: 1.0}"}})
COUNTS = "function,0,1,2\nf0,3,0,4\nf1,1,1,1\n"
INVOCATIONS = "app,func,end_timestamp,duration\na,b,1.5,0.5\na,c,3.5,0.5\na,b,7.5,0.5\n"


def pool(path: Path, told: Sequence[int]) -> Path:
    """Write an archive with two clients of the same rate; those in ``told`` have lengths."""
    files = {f"data/small/chunk-{client}-trace.csv": samples.SERVEGEN for client in (0, 1)}
    files |= {f"data/small/chunk-{client}-dataset.json": DATASET for client in told}
    with tarfile.open(path, "w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def lengths_by_function(workload: Workload) -> dict[str, set[tuple[int, int]]]:
    table = workload.requests
    pairs = list(
        zip(table["prompt_tokens"].to_pylist(), table["output_tokens"].to_pylist(), strict=True)
    )
    return {f: {pairs[row] for row in rows} for f, rows in workload.rows().items()}


def step(workload: Workload, name: str) -> dict[str, Any]:
    (found,) = (each for each in workload.provenance.transforms if each.name == name)
    return dict(found.parameters)


def test_clients_without_lengths_are_left_out_beside_others_and_counted(tmp_path: Path) -> None:
    every = import_file(pool(tmp_path / "a.tar", (0, 1)), Options())
    some = import_file(pool(tmp_path / "b.tar", (0,)), Options())
    assert lengths_by_function(some) == {"client-0": {(30, 20)}}
    assert some.arrivals_s("client-0").tolist() == every.arrivals_s("client-0").tolist()
    assert some.requests["id"].to_pylist() == list(range(len(some)))
    left = len(every) - len(some)
    assert step(some, "left-out-without-lengths") == {
        "functions": 1, "of_functions": 2, "requests": left, "of_requests": len(every),
    }  # fmt: skip


def test_named_lengths_keep_them_and_take_none_of_what_is_told(tmp_path: Path) -> None:
    path = pool(tmp_path / "b.tar", (0,))
    found = import_file(path, Options(lengths=LENGTHS))
    assert lengths_by_function(found) == {"client-0": {(30, 20)}, "client-1": {(40, 50)}}
    assert step(found, "lengths")["prompt"]["median"] == 40


@pytest.mark.parametrize("text", [COUNTS, INVOCATIONS, samples.SERVEGEN])
def test_a_source_of_arrivals_alone_is_marked_until_lengths_are_drawn(
    text: str, tmp_path: Path
) -> None:
    path = written(tmp_path, text)
    bare = import_file(path, Options())
    assert (lacks_lengths(bare), step(bare, "lengths-missing")["requests"]) == (True, len(bare))
    drawn = import_file(path, Options(lengths=LENGTHS))
    assert not lacks_lengths(drawn)
    assert set().union(*lengths_by_function(drawn).values()) == {(40, 50)}
    assert drawn.arrivals_s().tolist() == bare.arrivals_s().tolist()


def test_a_marked_file_is_known_once_it_is_named_with_lengths(tmp_path: Path) -> None:
    path = tmp_path / "bare.parquet"
    import_file(written(tmp_path, COUNTS), Options()).write(path)
    assert lacks_lengths(catalogue.load(str(path), seed=0, max_prompt_tokens=9))
    for given in ({"lengths": "llm-conv"}, {"prompt_tokens": 4, "output_tokens": 2}):
        assert not lacks_lengths(catalogue.load(str(path), seed=0, **given))


def test_the_command_asks_for_lengths_and_takes_those_that_are_named(tmp_path: Path) -> None:
    output = tmp_path / "x.parquet"

    def brought(path: Path, *more: str) -> tuple[dict[str, Any], list[str]]:
        arguments = ["import", str(path), "-o", str(output), "--json", *more]
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        return json.loads(done.stdout), done.stderr.splitlines()

    counts = written(tmp_path, COUNTS)
    with pytest.raises(ValueError, match=r"no lengths, and its 10 requests .*--lengths-of"):
        brought(counts)
    assert not output.exists()
    document, lines = brought(counts, "--lengths", "sharegpt-like")
    assert (document["lengths_known"], lines) == (True, [])
    document, lines = brought(counts, "--lengths-of", "llm-conv")
    assert (document["lengths_known"], lines) == (True, [])
    pairs = {pair for function in lengths_by_function(Workload.read(output)).values()
             for pair in function}  # fmt: skip
    source = catalogue.load("llm-conv", seed=0)
    assert pairs <= set().union(*lengths_by_function(source).values())
    _, (line,) = brought(pool(tmp_path / "b.tar", (0,)))
    assert "left out: 1 of 2 functions, with 5" in line
    for option, name in (("--lengths", "sharegpt-like"), ("--lengths-of", "llm-conv")):
        with pytest.raises(ValueError, match="has lengths of its own"):
            brought(written(tmp_path, samples.PLAIN), option, name)
