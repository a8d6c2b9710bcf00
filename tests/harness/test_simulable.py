"""Systems that run live only are left out of simulations, with a line that names them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import run
from harness.cli import build
from harness.commands.chosen import choose
from harness.errors import HarnessError
from harness.execution.checking import check_experiment
from harness.experiment_files import load, shipped
from harness.simulable import without_live_only
from systems.errors import UnknownSystemError

SIMULATED = {"mode": "simulated"}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_experiment_can_be_simulated(name: str) -> None:
    check_experiment(without_live_only(load(name, SIMULATED)))


def test_a_line_names_what_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = choose("sleep-h100", None, None, SIMULATED, None)
    assert [each.label for each in chosen.systems] == [
        "serverless-lora",
        "serverless-lora-backbone",
    ]
    assert chosen.against == "serverless-lora-backbone", "its baseline is left out"
    assert capsys.readouterr().err == (
        "left out, because they run live only: vllm-sleep, vllm-sleep-function, naive, vllm\n"
    )
    assert choose("main-h100", None, None, SIMULATED, None).against == "serverless-llm"


def test_live_nothing_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert choose("sleep-h100", None, None, {}, None) == load("sleep-h100")
    assert not capsys.readouterr().err


def test_it_is_refused_where_nothing_is_left() -> None:
    chosen = choose("main-h100", ["vllm"], None, SIMULATED, None)
    with pytest.raises(HarnessError, match="system vllm runs live only; --simulated needs"):
        check_experiment(chosen)


def test_what_does_not_exist_is_refused_by_its_name() -> None:
    with pytest.raises(UnknownSystemError, match="serverless-laura"):
        choose("main-h100", ["vllm", "serverless-laura"], None, SIMULATED, None)


def test_the_commands_of_experiments_say_what_a_run_would_leave_out() -> None:
    told = "left out, because they run live only: vllm"
    for command, shown in (("check", "main-h100: 3 cells, simulated, profile h100"), ("show", "")):
        words = ["experiments", command, "main-h100", "--simulated"]
        done = CliRunner().invoke(build(["experiments"]), words)
        assert done.exit_code == 0
        assert told in done.output.splitlines()
        assert shown in done.output
        assert "name: vllm" not in done.output


def test_from_python_a_run_is_without_them_too(tmp_path: Path) -> None:
    content = {
        "systems": [{"name": "serverless-llm"}, {"name": "vllm"}],
        "workloads": [{"name": "time-breakdown"}],
        "deployment": {"backbone": "llama2-7b", "dtype": "float16", "device_memory_gib": 44},
        "profile": "l40s",
    }
    done = run(content, SIMULATED, out=tmp_path)
    assert done.valid
    assert [cell.system for cell in done.cells] == ["serverless-llm"]
