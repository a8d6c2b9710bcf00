"""``slbench workloads import`` prints what it found, or one line with exit status 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workloads.trace import Workload

from . import samples
from .samples import written


def slbench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "workloads", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_import_is_shown_and_can_be_named_by_its_path(tmp_path: Path) -> None:
    path, output = written(tmp_path, samples.MOONCAKE), tmp_path / "mine.parquet"
    done = slbench("import", path, "-o", output, "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["n"], document["kind"]) == (0, 4, "recorded")
    assert document["import"]["format"] == "mooncake"
    assert document["sha256"] == Workload.read(output).sha256
    assert "4" in slbench("show", output).stdout


@pytest.mark.parametrize(
    ("content", "arguments", "why"),
    [
        ("hello\n", (), "no known format"),
        ("\n", (), "trace.txt: is empty"),
        (samples.PLAIN, ("--for", "nan"), "--for nan: wanted: number > 0"),
        (samples.PLAIN, ("--for", "-5"), "--for -5: wanted: number > 0"),
        (samples.PLAIN, ("--from", "inf"), "--from inf: wanted: number ≥ 0"),
        (samples.PLAIN + "x,f,1,1\n", (), "line 4: arrival_s 'x' is not a time in seconds"),
        (samples.PLAIN, ("--format", "psv"), "format 'psv' is unknown"),
        (samples.PLAIN, ("--format", "burstgpt"), "needs each of the columns"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_status_2(
    content: str, arguments: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    path, output = written(tmp_path, content), tmp_path / "mine.parquet"
    done = slbench("import", path, "-o", output, *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert why in done.stderr
    assert not output.exists()


def test_bad_rows_are_skipped_where_asked_and_said(tmp_path: Path) -> None:
    path = written(tmp_path, samples.PLAIN + "x,f,1,1\n")
    done = slbench("import", path, "-o", tmp_path / "mine.parquet", "--skip-bad")
    assert done.returncode == 0
    assert "skipped 1," in done.stdout
