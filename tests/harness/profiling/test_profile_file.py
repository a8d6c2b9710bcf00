"""What is written as a profile is what the simulator reads."""

from __future__ import annotations

import tomllib

import pytest

from harness.errors import HarnessError
from harness.profiling.found import ENOUGH, Found, distribution, median
from harness.profiling.profile_file import Plain, to_toml
from systems.simulation.number import Number


def test_a_duration_is_written_with_the_spread_of_its_measurements() -> None:
    found = distribution([0.2, 0.1, 0.3, 0.2, 0.4, 0.2, 0.2], "forks")
    number = Number.model_validate(tomllib.loads(to_toml("x", {"fork_s": found}, "m"))["fork_s"])
    assert number.value == 0.2
    assert number.spread == (0.5, 1.0, 1.0, 1.25, 2.0)
    assert number.quantile(0.999) == pytest.approx(0.4, rel=0.01)


def test_few_measurements_tell_no_spread() -> None:
    assert distribution([0.1] * (ENOUGH - 1), "forks").spread is None
    assert distribution([0.0] * ENOUGH, "forks").spread is None


def test_tables_follow_the_fields_that_are_no_numbers() -> None:
    numbers = {"fork_s": Found(1.0, "of one"), "graphs.first_s": Found(2.0, "of two", "derived")}
    settings: dict[str, Plain] = {
        "alike": {"bfloat16": "float16"},
        "kv_slots": True,
        "prompt_piece_tokens": 512,
    }
    document = tomllib.loads(to_toml("x", numbers, "m", settings))
    assert settings.items() <= document.items()
    assert document["graphs"]["first_s"]["kind"] == "derived"


def test_a_probe_that_shows_nothing_is_told() -> None:
    with pytest.raises(HarnessError, match="no probe shows kernels"):
        median([], "kernels")
