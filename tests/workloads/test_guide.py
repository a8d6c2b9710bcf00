"""Run docs/workloads.md: its entry, its commands and its importer."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.commands.workloads import app
from workloads import catalogue
from workloads.errors import WorkloadError
from workloads.lengths import lengths

GUIDE = (Path(__file__).parents[2] / "docs" / "workloads.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    slbench workloads (.+)$", GUIDE, re.MULTILINE)


def block(language: str, containing: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return next(text for text in found if containing in text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with the files that the guide names."""
    (tmp_path / "mine.toml").write_text(block("toml", "[population]"))
    (tmp_path / "trace.csv").write_text(
        "arrival_s,function,prompt_tokens,output_tokens\n"
        + "".join(f"{i * i / 10},f{i % 2},{10 + i},{5 + i}\n" for i in range(40))
    )
    (tmp_path / "own.csv").write_text("ts,user,in,out\n1715342400000,ann,12,34\n")
    minutes = range(480)
    rows = [f"f{i},{','.join(str(25 * (m % 80 == i)) for m in minutes)}" for i in range(9)]
    (tmp_path / "counts.csv").write_text(
        "\n".join([f"function,{','.join(map(str, minutes))}", *rows])
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_do_what_they_say(folder: Path) -> None:
    assert len(COMMANDS) >= 9
    for line in COMMANDS:
        command, _, output = line.partition(" > ")
        done = CliRunner().invoke(app, shlex.split(command), catch_exceptions=False)
        assert done.exit_code == 0, (line, done.output)
        if output:
            (folder / output).write_text(done.stdout)
    for path in ("bursty.png", "mine.parquet", "fitted.toml"):
        assert (folder / path).stat().st_size > 0
    assert len(list((folder / "segments").iterdir())) == 8


def test_lengths_are_written_as_the_guide_says(folder: Path) -> None:
    written = block("toml", "prompt = ")
    (folder / "long.toml").write_text(written + block("toml", "[population]"))
    drawn = catalogue.load("long.toml", seed=0).provenance.transforms[-1].parameters
    asked = {name: lengths(about).model_dump() for name, about in tomllib.loads(written).items()}
    assert list(asked) == ["prompt", "output"]
    assert asked.items() <= drawn.items()


def test_a_file_without_lengths_is_refused_unless_the_named_options_supply_them(
    folder: Path,
) -> None:
    ways = "is refused unless `--lengths NAME` or `--lengths-of WORKLOAD` supplies them"
    assert ways in " ".join(GUIDE.split())
    given = {"--lengths": "sharegpt-like", "--lengths-of": "llm-conv"}
    named = ["--columns", "arrival=ts", "--time-unit", "ms"]
    command = ["import", "own.csv", *named, "-o", "bare.parquet"]
    assert isinstance(CliRunner().invoke(app, command).exception, WorkloadError)
    for option in re.findall(r"`(--\S+) [A-Z]+`", ways):
        done = CliRunner().invoke(app, [*command, option, given[option]], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert len(catalogue.load("bare.parquet", seed=0).functions) == 1
