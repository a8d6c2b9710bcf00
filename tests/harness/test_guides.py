"""Guides are run: the commands of docs/reproduce-a-figure.md, and README.md's of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.reference_server import running_reference_server

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "reproduce-a-figure.md"
_COMMAND = re.compile(r"^    ((?:slbench|python -m) .+?)(?:\s+#.*)?$", re.MULTILINE)


def commands(text: str) -> list[str]:
    return _COMMAND.findall(text)


def section(title: str) -> str:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return readme.partition(f"## {title}\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout's pages and records, without its code."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / "results").mkdir()
    (folder / "results" / "reference").symlink_to(ROOT / "results" / "reference")
    shutil.copytree(ROOT / "docs", folder / "docs")
    for page in ROOT.glob("*.md"):
        shutil.copy(page, folder)
    return folder


def run(command: str, folder: Path) -> str:
    line = command.replace("slbench ", "python -m harness ", 1).replace("python", sys.executable, 1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def test_the_commands_of_the_guide_do_what_they_say(folder: Path) -> None:
    found = commands(GUIDE.read_text(encoding="utf-8"))
    assert len(found) >= 8
    for command in found:
        run(command, folder)
    for file in ("figures/ttft-by-pattern.csv", "figures-l40s/time-breakdown.png",
                 "mine/time-breakdown.svg", "made-anew/weak-scaling/numbers.parquet",
                 "mine/weak-scaling.png"):  # fmt: skip
        assert (folder / file).stat().st_size > 0
    assert (folder / "README.md").read_bytes() == (ROOT / "README.md").read_bytes()


def test_what_the_readme_has_beyond_the_guide_is_run(folder: Path) -> None:
    of_the_guide = {" ".join(c.split()[:2]) for c in commands(GUIDE.read_text(encoding="utf-8"))}
    beyond = [
        command
        for command in commands(section("Reproduce a figure"))
        if " ".join(command.split()[:2]) not in of_the_guide
    ]
    for command in beyond:
        run(command, folder)
    assert (folder / "report.html").stat().st_size > 0


@pytest.mark.live
def test_a_system_that_is_up_is_checked_by_the_commands_of_readme_and_guide(folder: Path) -> None:
    """With the suite's own reference server in the place of host and models."""
    told = [
        *commands(section("Compare your system")),
        *commands((ROOT / "docs" / "your-system.md").read_text(encoding="utf-8")),
    ]
    checks = {command for command in told if command.startswith("slbench systems check --url")}
    assert checks
    with running_reference_server() as server:
        for command in checks:
            there = command.replace("http://host:8000", server.base_url)
            for mine, its in (("my-lora-a", "ref"), ("my-lora-b", "ref.gap-5")):
                there = there.replace(mine, its)
            said = json.loads(run(f"{there} --json", folder))
            assert said["failed"] == []
            assert said["passed"]


@pytest.mark.parametrize(
    ("title", "guide"),
    [
        ("Reproduce a figure", "reproduce-a-figure"),
        ("Compare your system", "your-system"),
        ("Add a trace", "workloads"),
    ],
)
def test_a_section_of_the_readme_is_short_and_leads_to_its_guide(title: str, guide: str) -> None:
    lines = [line for line in section(title).splitlines() if line]
    assert len(lines) < 10
    assert f"(docs/{guide}.md)" in section(title)
    known = commands((ROOT / "docs" / f"{guide}.md").read_text(encoding="utf-8"))
    words = {" ".join(command.split()[:2]) for command in known}
    assert {" ".join(c.split()[:2]) for c in commands(section(title))} <= words | {"slbench report"}
