"""docs/three-ways.md, command by command as it is printed: what a page shows of the output is in
the output."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.cells.plan import plan_cells
from harness.experiment_files import load
from harness.reference_server import running_reference_server

from .pages import ROOT, commands
from .typed import typed

PAGE = (ROOT / "docs" / "three-ways.md").read_text(encoding="utf-8")
SERVER = "To a table with your server in it"
FILES = re.compile(r"`(\S+\.(?:yaml|csv))`[^`]*?```(?:yaml|csv)\n(.*?)```", re.DOTALL)
HERE = {"my-lora-a": "ref", "my-lora-b": "ref.gap-5", "time_scale: 10": "time_scale: 160"}
BESIDE = "slbench run server.yaml --out beside"


def way(title: str) -> str:
    """Return a section of the page."""
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def saved(text: str, folder: Path) -> list[Path]:
    """Save the files of a section under the names that it gives them."""
    made = [folder / name for name, _ in FILES.findall(text)]
    for path, (_, content) in zip(made, FILES.findall(text), strict=True):
        path.write_text(content, encoding="utf-8")
    return made


def shown(text: str) -> list[str]:
    """Return the lines of output that a section shows."""
    blocks = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize(
    ("title", "leaves"),
    [
        ("To the paper's figure", ("figures/time-breakdown.pdf", "mine/time-breakdown.csv")),
        ("To a run on your trace", ("trace.png", "mine.html")),
    ],
)
def test_a_way_does_and_says_what_it_shows(
    title: str, leaves: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = way(title)
    saved(text, tmp_path)
    monkeypatch.chdir(tmp_path)
    said = "\n".join(map(typed, commands(text)))
    assert [line for line in shown(text) if line not in said] == []
    for name in leaves:
        assert (tmp_path / name).stat().st_size > 0


@pytest.mark.live
def test_a_server_of_a_stranger_is_checked_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite's reference server stands for the stranger's, and requests come sixteen times as
    fast. The run beside ServerlessLoRA is planned only, as other tests run it live."""
    monkeypatch.chdir(tmp_path)
    with running_reference_server() as server:
        text = way(SERVER).replace("http://host:8000", server.base_url)
        for printed, here in HERE.items():
            assert printed in text
            text = text.replace(printed, here)
        (experiment,) = saved(text, tmp_path)
        said = "\n".join(typed(each) for each in commands(text) if each != BESIDE)
    assert BESIDE in commands(text)
    assert [line for line in shown(text) if line not in said] == []
    assert {cell.system.label for cell in plan_cells(load(str(experiment)))} == {
        "serverless-lora",
        "mine",
    }


def test_the_ways_are_short() -> None:
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert len(titles) == 3
    for title in titles:
        assert len(commands(way(title))) <= 4
        assert len(way(title).splitlines()) < 60


def test_a_trace_without_lengths_is_imported_with_the_option_that_the_page_adds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = way("To a run on your trace")
    calls = saved(text, tmp_path)[0]
    bare = [",".join(line.split(",")[:2]) for line in calls.read_text().splitlines()]
    calls.write_text("\n".join(bare), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (named,) = re.findall(r"without lengths,\s+add\s+`(--lengths [^`]+)`", text)
    command = commands(text)[0].replace(",prompt_tokens=in,output_tokens=out", "")
    assert "prompt_tokens" in typed(f"{command} {named}")
