"""Run a short campaign with the command of the long one, and check the page of the long one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from . import clients, clocks, device_faults, page, run_scene, shortages, signals
from .load import Answer
from .platform_scene import _recovered, _unaccounted
from .stage import FUNCTIONS, Stage

QUICK = ("kill -9, an instance$", "no memory left to an instance", "clients that leave")


@pytest.mark.live
def test_a_short_campaign_finds_everything_as_it_should_be(tmp_path: Path) -> None:
    out = tmp_path / "campaign.json"
    command = [sys.executable, "-m", "tests.faults.campaign", "--moments", str(len(QUICK))]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLBENCH_CAMPAIGN")}
    done = subprocess.run(
        [*command, "--seed", "5", "--out", str(out), "--only", *QUICK],
        capture_output=True, text=True, timeout=280, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    moments = json.loads(out.read_text(encoding="utf-8"))["moments"]
    assert len({moment["fault"] for moment in moments}) == len(QUICK)
    assert all(moment["answers"]["ok"] and moment["recovered_s"] for moment in moments)


def test_what_should_not_be_is_noticed(tmp_path: Path) -> None:
    """The checks of a campaign report violations; otherwise a campaign could not fail."""
    fault = next(each for each in signals.faults() if each.ends)
    stage = Stage(tmp_path)
    hung = Answer("f0", 0.0, 1000.0, "ok")
    strange = Answer("f0", 0.0, 1.0, "http_500")
    assert list(_unaccounted(stage, fault, [Answer("f0", 0.0, 1.0, "cut")])) == []
    assert "past their time" in next(_unaccounted(stage, fault, [hung]))
    assert "http_500" in next(_unaccounted(stage, fault, [strange]))
    answers = [Answer(name, 2.0, 1.0, "ok") for name in FUNCTIONS]
    assert _recovered(answers, 1.0) == 2.0
    assert _recovered(answers[1:], 1.0) is None, "one function has not answered"
    assert _recovered(answers, 2.5) is None, "they were sent before"


def test_the_page_says_what_the_records_say() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.made_anew(text) == text, "RELIABILITY.md is stale: python -m tests.faults.page"


def test_every_moment_of_the_records_is_of_a_fault_that_there_is() -> None:
    names = {fault.name for module in (signals, shortages, clients) for fault in module.faults()}
    more = (*shortages.faults_of_file_systems(), *signals.faults_of_nodes())
    names |= {fault.name for fault in more}
    names |= {fault.name for fault in run_scene.faults()} | set(clocks.NAMES)
    seen = {m["fault"] for record in page.records("campaign") for m in record["moments"]}
    assert seen <= names
    assert len(seen) > 20
    on_card = {m["fault"] for record in page.records("card-campaign") for m in record["moments"]}
    assert on_card <= device_faults.names()


def test_the_page_names_commands_that_there_are() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    makefile = (page.ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\w+)", text, re.MULTILINE):
        assert f"\n{target}:" in makefile
    for module in re.findall(r"python -m (tests\.faults\.\w+)", text):
        assert (page.ROOT / module.replace(".", "/")).with_suffix(".py").exists() or (
            page.ROOT / module.replace(".", "/") / "__main__.py"
        ).exists()
