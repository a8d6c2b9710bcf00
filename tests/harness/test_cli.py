"""The command line: wrong words are answered in one line with the nearest right one; what writes
gigabytes, or needs a card that is not here, is refused before anything is made."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import cli, interrupts
from harness.cells import deployments
from systems.models import presets
from systems.registry import system_names

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def slbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    monkeypatch.setattr(interrupts, "listen", lambda: None)

    def said(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["slbench", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return said


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache and working directory on a machine without cards."""
    monkeypatch.setenv("SLBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(deployments, "cards", lambda: 0)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("run main --systm x", "slbench run: no option --systm; did you mean --system?"),
        ("models make --rnk 3", "slbench models make: no option --rnk; did you mean --rank?"),
        ("run a b", "slbench run: Got unexpected extra argument(s) (b); see slbench run --help"),
        ("run", "slbench: run: name an EXPERIMENT, or a run with --resume"),
        ("run quickstrat", "slbench: experiment 'quickstrat' is unknown; did you mean quickstart?"),
        ("run main --system instinfer",
         "slbench: system 'instinfer' is unknown; did you mean instainfer?"),
        ("run isolation-h100 --system serverless-lora-backbon",
         "slbench: system 'serverless-lora-backbon' is unknown; did you mean"
         " serverless-lora-backbone?"),
        ("workloads show azure-bursty",
         "slbench: workload 'azure-bursty' is unknown; did you mean azure-bursty8?"),
        ("figures capasity", "slbench: figure 'capasity' is unknown; did you mean capacity?"),
        ("run main --simulated --profile h20",
         "slbench: profile 'h20' is unknown; did you mean h200?"),
        ("figures time-breakdown --from results/reference/quickstart /dev/fd",
         "slbench: /dev/fd: is a folder, no figure; write --from before each run"),
        ("figures time-breakdown --out /dev/null",
         "slbench: /dev/null: figures cannot be written there (File exists); name a folder"
         " that can be"),
        ("run quickstart --set deployment.device_memory=3",
         "slbench: quickstart, as changed: deployment.device_memory: is not a key here; did you"
         " mean device_memory_gib?"),
        ("run --resume /no", "slbench: /no: no such folder"),
        ("run --resume no",
         "slbench: no: no such folder, and no run of this id in results/runs or results/reference"),
        ("run --resume no --out own",
         "slbench: no: no such folder, and no run of this id in own or results/reference"),
        ("claims --from /nosuch",
         "slbench: --from /nosuch: no reference records here; give a folder like"
         " results/reference"),
        ("serve serverless-lora --set options=3",
         "slbench: serverless-lora: options: 3 is not right; wanted: mapping of text to any value"),
        ("systems check serverless-lora --set options=3",
         "slbench: serverless-lora: options: 3 is not right; wanted: mapping of text to any value"),
        ("run quickstart --set workloads.time_scale=-1",
         "slbench: --set workloads.time_scale: workloads is a list in this experiment; set it in"
         " each with --set 'sweep={workloads.time_scale: [-1]}'"),
        ("run saturation --set mode.fast=1",
         "slbench: --set mode.fast: mode is no mapping in this experiment but 'simulated'"),
        ("run quickstart --set sweep={workloads.time_scal:[1,2]}",
         "slbench: overrides of time-breakdown: time_scal: is not a key here; did you mean"
         " time_scale?"),
        ("run quickstart --set sweep={workloads.time_scale:[0,2]}",
         "slbench: overrides of time-breakdown: time_scale: 0 is not right; wanted: number > 0"),
        ("workloads show steady --set time_scal=2",
         "slbench: overrides of steady: time_scal: is not a key here; did you mean time_scale?"),
        ("serve serverless-lora --set dtpe=float16",
         "slbench: deployment: dtpe: is not a key here; did you mean dtype?"),
        ("systems check serverless-lora --set dtpe=float16",
         "slbench: deployment: dtpe: is not a key here; did you mean dtype?"),
        ("capacity saturation --start -1", "slbench: --start -1: wanted: number > 0"),
        ("capacity saturation --highest nan", "slbench: --highest nan: wanted: number > 0"),
        ("capacity saturation --tolerance 7",
         "slbench: --tolerance 7: wanted: number ≥ 0.005 ≤ 1"),
        ("capacity saturation --start 100",
         "slbench: lowest <= start <= highest is wanted, got 0.0625, 100, 64"),
        ("run quickstart --profile l40s",
         "slbench: --profile l40s: is of a simulation, and this run is live; add --simulated, or"
         " leave it out"),
        ("run time-breakdown --simulated --web",
         "slbench: --web-port: is of a live run, and this one is simulated"),
        ("run time-breakdown --simulated --check-simulation l40s",
         "slbench: --check-simulation: is of a live run, and this one is simulated"),
        ("profile -o mine.txt", "slbench: --out mine.txt: a profile is a .toml file"),
        ("profile -o nosuch/mine.toml",
         "slbench: --out nosuch/mine.toml: cannot be written; name a file in a folder that exists"),
        ("run quickstart --simulated --profile nosuch.toml",
         "slbench: profile file nosuch.toml does not exist"),
        ("workloads show nosuch.toml", "slbench: workload file nosuch.toml does not exist"),
        ("run time-breakdown --set prices=nosuch.toml",
         "slbench: price file nosuch.toml does not exist"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_answered_in_one_line(slbench: Say, words: str, line: str) -> None:
    assert slbench(*words.split()) == (2, "", f"{line}\n")


@pytest.mark.parametrize("words", ["workloads show steady", "serve serverless-lora"])
def test_a_key_like_no_other_is_answered_with_all_that_are_known(slbench: Say, words: str) -> None:
    status, _, err = slbench(*words.split(), "--set", "foo=3")
    assert (status, err.count("\n")) == (2, 1)
    assert re.match(r"slbench: [a-z ]+: foo: is not a key here; known: \w+, \w+, ", err)


def test_a_run_whose_experiment_is_malformed_is_not_resumed_and_not_removed(
    slbench: Say, empty: Path
) -> None:
    (empty / "mine").mkdir()
    (empty / "mine" / "run.json").write_text('{"name": "mine"}')
    status, _, err = slbench("run", "--resume", "mine")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("slbench: mine/run.json: systems: is missing; wanted: ")
    assert (empty / "mine" / "run.json").exists()


def test_systems_are_listed_by_their_whole_names(
    slbench: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = slbench("systems", "list")[1]
    assert all(f" {name} " in listed for name in system_names())


@pytest.mark.parametrize("shown", ["caller_rate null", "mps false", "template libraries"])
def test_options_are_shown_as_an_experiment_sets_them(slbench: Say, shown: str) -> None:
    lines = slbench("systems", "show", "serverless-lora")[1].splitlines()
    assert shown in {" ".join(line.split()) for line in lines}


def test_a_duration_of_hours_is_shown_in_digits(slbench: Say) -> None:
    assert re.search(r"^duration_s +14400$", slbench("workloads", "show", "azure-bursty8")[1], re.M)


def test_the_version_is_told(slbench: Say) -> None:
    status, out, _ = slbench("--version")
    assert (status, out.split()[0]) == (0, "slbench")
    assert out.split()[1][0].isdigit()


def test_a_group_without_a_command_shows_its_help(slbench: Say) -> None:
    status, _, err = slbench("models")
    assert (status, "skills" in err) == (2, True)


def test_a_shell_completes_experiments_and_systems() -> None:
    def completed(*words: str) -> set[str]:
        line = " ".join(("slbench", *words))
        given = {"_SLBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line,
                 "COMP_CWORD": str(len(words))}  # fmt: skip
        done = CliRunner().invoke(cli.build(), [], env=given, prog_name="slbench")
        return set(done.output.split())

    assert {"main", "main-h100"} <= completed("run", "main")
    assert "serverless-lora" in completed("run", "quickstart", "--system", "serverless-l")
    assert completed("run", "--resu") == {"--resume"}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("run", "cold-start-h100"), "device cuda: 1 asked for, 0 here"),
        (("run", "cold-start-h100", "--yes"), "device cuda: 1 asked for, 0 here"),
        (("run", "cold-start-h100", "--system", "serverless-lor"), "did you mean serverless-lora"),
        (("run", "cold-start-h100", "--workload", "azure-burst8"), "did you mean azure-bursty8"),
        (("serve", "serverless-lora", "--set", "device=cuda"), "device cuda: 1 asked for, 0 here"),
        (("run", "cold-start-h100", "--device", "cpu"), "this makes llama2-7b (13.5 GB), "),
        (("capacity", "cold-start-h100", "--set", "deployment.device=cpu"), "add --yes to write "),
        (("models", "make", "llama2-13b"), "add --yes to write 26 GB"),
        (("models", "make", "tiny", "--adapters", "100000"), "100000 adapters of tiny ("),
        (("serve", "serverless-lora", "--backbone", "llama2-7b"), "this makes llama2-7b (13.5 GB)"),
    ],
)
def test_nothing_is_made_before_it_is_agreed_to_or_where_it_cannot_run(
    slbench: Say, empty: Path, words: tuple[str, ...], reason: str
) -> None:
    status, out, err = slbench(*words)
    assert (status, out, reason in err) == (2, "", True), err
    assert not any(empty.rglob("*"))


def test_what_is_made_already_is_not_asked_about(slbench: Say, empty: Path) -> None:
    presets()["llama2-7b"].path.mkdir(parents=True)
    (presets()["llama2-7b"].path / "config.json").write_text("{}")
    status, _, err = slbench("models", "make", "llama2-7b")
    assert (status, "--yes" in err) == (2, False), "its config.json is refused, not its size"
