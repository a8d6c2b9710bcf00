"""A stranger's session, docs/session.md, command by command as it is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import load_capacity

from .pages import ROOT, commands
from .typed import typed

PAGE = (ROOT / "docs" / "session.md").read_text(encoding="utf-8")
RUN_ID = re.compile(r"\d{8}-\d{6}-[\w-]+")
GATE = "--fail-if"


def block(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.usefixtures("one_process", "png_only")
def test_the_session_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (experiment,), (code,), (table, verdict) = block("yaml"), block("python"), block("text")
    (tmp_path / "mine.yaml").write_text(experiment, encoding="utf-8")
    (tmp_path / "read.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    said = {command: typed(command, GATE in command) for command in commands(PAGE)}

    told = RUN_ID.sub("…", "\n".join(said.values()))
    for line in (*table.splitlines(), *verdict.splitlines()):
        assert line in told, "the page shows another output"
    (capacity,) = Path("capacity").iterdir()
    apart = load_capacity(capacity).systems.set_index("system").loc["apart"]
    assert all(f"{apart['feasible_max']:g}" in each for each in said if "changed" in each)
    assert f"{apart['requests_per_s']:.6f}" in said["python read.py"]
    assert {path.name for path in Path("pictures").glob("*.png")} >= {
        "throughput.png",
        "capacity.png",
    }
    assert Path("sweep.html").stat().st_size > 0


def test_the_session_is_short() -> None:
    assert len(commands(PAGE)) <= 12
    assert all(len(each.splitlines()) <= 15 for each in block("yaml"))
