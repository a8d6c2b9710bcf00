"""Conditions of a cell that telemetry shows are told with its records."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cells.telemetry_check import telemetry_warnings


def test_a_front_process_that_may_be_the_limit_is_told() -> None:
    (told,) = telemetry_warnings({"root_cpu_share": 0.97})
    assert told == "a front process of the system used 97% of a core: it may be the limit"


def test_a_machine_that_stood_still_is_told() -> None:
    (told,) = telemetry_warnings({"longest_gap_s": 9.13})
    assert told == "no memory was sampled for 9.1 s: machine, driver or sampler stood still"


@pytest.mark.parametrize(
    "telemetry",
    [None, {}, {"root_cpu_share": 0.5, "longest_gap_s": 0.2}, {"root_cpu_share": None}],
)
def test_usual_conditions_are_not_told(telemetry: dict[str, Any] | None) -> None:
    assert list(telemetry_warnings(telemetry)) == []
