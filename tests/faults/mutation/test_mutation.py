"""The driver of ``make mutate``, on a project of one test that fails for one mutant."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from . import sample, trial
from .reached import Reached, SuiteFailsError
from .trial import HUNG, KILLED, NO_TEST, SURVIVED, UNTRIED, Trial

PROJECT = """
[tool.mutmut]
pytest_add_cli_args = ["-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = ["test_one.py"]
"""
TEST = """
import os, signal
from hypothesis import given, strategies as st
@given(st.integers())
def test_property(number):
    with open("tried", "a") as file:
        print(number, file=file)
    assert abs(number) < 100
def test_one():
    mutant = os.environ["MUTANT_UNDER_TEST"]
    assert mutant != "m.x_f__mutmut_1"
    if mutant == "m.x_f__mutmut_2":
        os.kill(os.getpid(), 9)
    if mutant == "m.x_f__mutmut_3":
        signal.pause()
"""
ROOT = Path(__file__).parents[3]
TESTS = ("test_one.py::test_one",)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (tmp_path / "test_one.py").write_text(TEST, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("mutant", "tests", "outcome"),
    [
        ("m.x_f__mutmut_1", TESTS, KILLED),
        ("m.x_f__mutmut_2", TESTS, HUNG),
        ("m.x_f__mutmut_4", TESTS, SURVIVED),
        ("m.x_f__mutmut_4", ("test_one.py::test_two",), HUNG),
        ("m.x_f__mutmut_4", (), NO_TEST),
    ],
)
def test_what_becomes_of_a_mutant(
    project: Path, mutant: str, tests: tuple[str, ...], outcome: str
) -> None:
    assert trial.run(project, Trial(mutant, tests, 1.0, 1.0), time.monotonic() + 250) == outcome


def test_a_property_test_ends_at_its_first_failing_example(project: Path) -> None:
    """It took 82 s to shrink the example that killed one mutant."""
    property_test = Trial("m.x_f__mutmut_4", ("test_one.py::test_property",), 1.0, 1.0)
    assert trial.run(project, property_test, time.monotonic() + 250) == KILLED
    tried = [int(line) for line in (project / "tried").read_text(encoding="utf-8").splitlines()]
    first = next(at for at, number in enumerate(tried) if abs(number) >= 100)
    assert set(tried[first:]) == {tried[first]}, "it is repeated for the report only"


def test_a_trial_that_the_deadline_ends_counts_as_not_tried(project: Path) -> None:
    sleeps = Trial("m.x_f__mutmut_3", TESTS, 1.0, 1.0)
    assert trial.run(project, sleeps, time.monotonic() + 0.1) == UNTRIED


def test_none_starts_after_the_last_start() -> None:
    trials = [Trial(name, TESTS, 1.0, 1.0) for name in "ab"]
    outcomes = sample.attempt(trials, lambda _: KILLED, 2, time.monotonic())
    assert dict(outcomes) == {"a": UNTRIED, "b": UNTRIED}
    outcomes = sample.attempt(trials, lambda _: KILLED, 2, float("inf"))
    assert dict(outcomes) == {"a": KILLED, "b": KILLED}


def test_a_larger_sample_begins_with_the_smaller_one() -> None:
    names = [f"m.x_f__mutmut_{index}" for index in range(50)]
    small, large = sample.drawn(names, 5, 27), sample.drawn(names[::-1], 20, 27)
    assert large[:5] == small
    assert sample.drawn(names, 5, 28) != small


def _line(test: str, seconds: float, passed: bool = True, *functions: str) -> dict[str, object]:
    return {"test": test, "seconds": seconds, "passed": passed, "functions": functions}


def test_a_mutant_is_tried_on_the_tests_of_its_function_the_shortest_first() -> None:
    lines = [_line("long", 3.0, True, "m.x_f"), _line("short", 1.0, True, "m.x_f", "m.x_g")]
    lines += [_line(f"other{index}", 1.0) for index in range(20)]
    lines += [_line("fails", 0.5, False, "m.x_f")]
    found = sample.trials(["m.x_f__mutmut_1", "m.x_h__mutmut_1"], Reached.of(lines))
    assert found == [
        Trial("m.x_f__mutmut_1", ("short", "long"), 4.0, 3.0),
        Trial("m.x_h__mutmut_1", (), 0.0, 0.0),
    ]


def test_tests_that_fail_without_a_mutant_tell_nothing() -> None:
    with pytest.raises(SuiteFailsError, match="1 tests fail without a mutant: a"):
        Reached.of([_line("a", 1.0, False), _line("b", 1.0)])


def test_an_interrupted_run_continues(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    sample.Kept(path).keep("a", SURVIVED)
    sample.Kept(path).keep("b", KILLED)
    found = sample.record(["a", "b", "c"], sample.Kept(path), 9, 27)
    counts = {SURVIVED: 1, KILLED: 1, UNTRIED: 1, "mutants": 9, "sample": 3, "survivors": ["a"]}
    assert counts.items() <= found.items()
    assert json.loads(json.dumps(found)) == found
