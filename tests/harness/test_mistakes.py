"""Mistakes in experiments are told in a line: the file, the key, what is wrong, what is right."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from harness.cli import build, main
from harness.errors import HarnessError
from harness.execution.checking import check_experiment
from harness.experiment import Experiment
from harness.experiment_files import load, shipped
from harness.keys.listing import keys
from harness.keys.page import page
from harness.mistakes import mistakes
from workloads import catalogue

from .pages import ROOT

BASE = "systems: [{name: serverless-lora}]\nworkloads: [{name: steady}]\nmode: simulated\n"
NAMES = "text of the form ^[A-Za-z0-9._-]+$"
CASES = [
    ("seedz: [1]", "seedz: is not a key here; did you mean seeds?"),
    ("colour: red", "colour: is not a key here; known: name, summary, systems"),
    ("seeds: []", "seeds: [] is not right; wanted: list of whole number, at least one"),
    ("seeds: [a]", "seeds[0]: 'a' is not right; wanted: whole number"),
    ("seeds: [3, 1, 3]", "seeds: each at most once, got [3, 1, 3]; repeats run one again"),
    ("repeats: 0", "repeats: 0 is not right; wanted: whole number > 0"),
    ("mode: fast", "mode: 'fast' is not right; wanted: live or simulated"),
    ("deployment: 4", "deployment: 4 is not right; wanted: mapping"),
    ("deployment: {limits: {keep_alive: 4}}",
     "deployment.limits.keep_alive: is not a key here; did you mean keep_alive_s?"),
    ("deployment: {tenants: 0}",
     f"deployment.tenants: 0 is not right; wanted: whole number > 0 or mapping of text to {NAMES}"),
    ("deployment: {tenants: {f0: a b}}",
     f"deployment.tenants.f0: 'a b' is not right; wanted: {NAMES}"),
    ("deployment: {adapters: skillz}",
     "deployment.adapters: 'skillz' is not right; wanted: skills or list of path"),
    ("systems: [{label: x}]", "systems[0].name: is missing; wanted: text"),
    ("systems: [{name: serverless-lora, optoins: {}}]",
     "systems[0].optoins: is not a key here; did you mean options?"),
    ("sweep: {deployment.devices: [1, 0]}",
     "deployment.devices: 0 is not right; wanted: whole number > 0"),
    ("sweep: 7", "sweep: write it as key: [values], or as a list of such, not 7"),
    ("deployment: {limits: {keep_alive_s: .inf}}",
     "deployment.limits.keep_alive_s: inf is not right; wanted: number > 0"),
    ("deployment: {device_memory_gib: .inf}",
     "deployment.device_memory_gib: inf is not right; wanted: number > 0 or list of number > 0"),
    ("workloads: [{name: steady, overrides: {duration_s: .nan}}]",
     "workloads[0].overrides: duration_s: nan is not right; wanted: a finite number"),
    ("systems: [{name: serverless-lora, options: {audit_s: .inf}}]",
     "systems[0].options: audit_s: inf is not right; wanted: a finite number"),
    ("baseline: vllm", "baseline: 'vllm' is not among the systems ['serverless-lora']"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "told"), CASES)
def test_a_mistake_is_a_line_of_our_words(line: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    kept = [each for each in BASE.splitlines() if not each.startswith(line.partition(":")[0])]
    path.write_text("\n".join([*kept, line]), encoding="utf-8")
    with pytest.raises(ValidationError) as error:
        load(str(path))
    (said,) = mistakes(error.value)
    assert said.startswith(f"{path}: {told}")
    assert "\n" not in said
    assert not re.search(r"Input should|valid integer|Extra inputs|pydantic", said)


def _invoke(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(build(["experiments"]), ["experiments", *words])
    return done.exit_code, done.output


def test_check_shows_every_mistake_and_counts_the_cells_of_a_right_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"{BASE}seedz: [1]\nrepeats: 0\nprofile: l40s\n", encoding="utf-8")
    status, said = _invoke("check", str(path))
    assert status == 2
    assert len(said.splitlines()) == 2
    path.write_text(f"{BASE}seeds: [1, 2, 3]\nprofile: l40s\n", encoding="utf-8")
    assert _invoke("check", str(path)) == (0, f"{path}: 3 cells, simulated, profile l40s\n")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"systems": [{"name": "serverless-laura"}]}, "serverless-laura"),
        ({"workloads": [{"name": "stedy"}]}, "stedy"),
        ({"prices": "free"}, "free"),
        ({"profile": "abacus"}, "abacus"),
        (
            {"deployment.device": "cuda", "profile": "cpu-small"},
            "^device cuda: profile cpu-small is of CPU cores; name one of a GPU, such as --profile"
            " h100$",
        ),
        (
            {"deployment.device": "cpu"},
            "^device cpu: profile l40s is of a GPU; name one of CPU cores, such as --profile"
            " cpu-small$",
        ),
        (
            {"deployment.device_memory_gib": 1},
            r"^serverless-lora: an instance of llama2-7b takes 14\.25 GB, device cuda:0 has"
            r" 1\.07 GB: give device_memory_gib more$",
        ),
        (
            {"deployment.device_memory_gib": 1, "systems": [{"name": "multi-lora"}]},
            "leaves a replica of llama2-7b room for 0 requests",
        ),
        ({"figures": ["pie"]}, "'pie' is unknown; known: time-breakdown"),
        ({"systems": [{"name": "serverless-lora", "policies": {"batching": "no"}}]}, "'no'"),
    ],
)
def test_check_knows_the_names_in_an_experiment(change: dict[str, Any], told: str) -> None:
    experiment = load("saturation", change)
    with pytest.raises(Exception, match=told) as reason:
        check_experiment(experiment)
    assert "\n" not in str(reason.value)
    assert not isinstance(reason.value, KeyError | TypeError | AttributeError)


def test_a_shipped_experiment_is_right_and_shown_complete() -> None:
    for name in ("saturation", "quickstart"):
        check_experiment(load(name))
    status, said = _invoke("show", "saturation", "--set", "deployment.devices=3", "--json")
    assert status == 0
    shown = Experiment.model_validate(json.loads(said))
    assert shown == load("saturation", {"deployment.devices": 3})
    _, listed = _invoke("list", "--json")
    assert [each["name"] for each in json.loads(listed)["experiments"]] == list(shipped())


def test_the_command_line_ends_with_the_line_of_the_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.interrupts.listen", lambda: None)
    monkeypatch.setattr(sys, "argv", ["slbench", "run", "saturation", "--set", "seedz=[1]"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err.endswith("seedz: is not a key here; did you mean seeds?\n")


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("exponent = 1.0", "exponnt = 1.0", "exponnt: is not a key here; did you mean exponent?"),
        ("cv = 4.0", "cv = 0", "cv: 0 is not right; wanted: number ≥ 0.001 ≤ 10000"),
        ("functions = 100", "functions = 0", "functions: 0 is not right; wanted: whole number > 0"),
        ("churn = {", "chrn = {", "chrn: is not a key here; did you mean churn?"),
    ],
)
def test_a_mistake_in_a_workload_is_a_line_that_names_its_file(
    tmp_path: Path, right: str, wrong: str, told: str
) -> None:
    shipped = (catalogue.FOLDER / "lora-zipf-100.toml").read_text(encoding="utf-8")
    assert right in shipped
    entry = tmp_path / "mine.toml"
    entry.write_text(shipped.replace(right, wrong), encoding="utf-8")
    with pytest.raises(ValidationError) as error:
        catalogue.load(str(entry), seed=0)
    assert mistakes(error.value)[0].startswith(f"{entry}: {told}")


def test_the_reference_page_has_every_key_and_is_current() -> None:
    written = (ROOT / "docs" / "keys.md").read_text(encoding="utf-8")
    assert written == page(), "python -m harness.keys > docs/keys.md"
    found = {key.path: key for key in keys()}
    assert {path for path in found if "." not in path} == set(Experiment.model_fields)
    assert all(key.about for key in found.values()), "every key says what it is"
    assert [path for path, key in found.items() if key.required] == [
        "systems", "workloads", "systems[].name", "workloads[].name",
    ]  # fmt: skip
    keep_alive = found["deployment.limits.keep_alive_s"]
    assert (keep_alive.kind, keep_alive.default, keep_alive.unit) == ("number > 0", "10.0", "s")


def test_python_refuses_a_malformed_experiment_with_the_same_line(tmp_path: Path) -> None:
    from harness import run

    with pytest.raises(HarnessError, match="seedz: is not a key here; did you mean seeds"):
        run("saturation", {"seedz": [1]}, out=tmp_path)
    assert list(tmp_path.iterdir()) == []
