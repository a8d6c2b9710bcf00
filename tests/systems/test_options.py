"""Wrong options of a system: one line that names the system, the option and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function
from systems.options import SystemOptions
from systems.registry import system_class, system_names


class Options(SystemOptions):
    speed: int = 1
    size: int = 1


def deployment(options: Mapping[str, Any]) -> Deployment:
    return Deployment(
        functions=(Function(id="f", backbone="b", adapter=Path("a")),),
        backbones={"b": Path("b")},
        devices=(Device(name="cpu:0", memory_bytes=1),),
        options=options,
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"sped": 2}, "x: sped is not an option; did you mean speed?"),
        ({"colour": 2}, "x: colour is not an option; known: speed, size"),
        ({"size": "big", "sped": 1}, r"x: option size: input should be .* \(and 1 more\)"),
    ],
)
def test_the_line_says_what_would_be_right(options: Mapping[str, Any], line: str) -> None:
    with pytest.raises(DeploymentError, match=line):
        Options.read(deployment(options), "x")
    assert Options.read(deployment({"size": 2}), "x").size == 2


@pytest.mark.parametrize("name", system_names())
def test_every_system_names_itself(name: str) -> None:
    with pytest.raises(DeploymentError, match=f"^{name}: nonsense is not an option"):
        system_class(name)().check(deployment({"nonsense": 1}))


@pytest.mark.parametrize(
    "name", [each for each in system_names() if system_class(each).served_with]
)
def test_what_a_system_is_served_with_are_options_of_it(name: str) -> None:
    system = system_class(name)()
    system.configure(deployment(system.served_with))
    assert system.info().options.items() >= dict(system.served_with).items()


def test_ablations_of_what_serving_would_switch_on_keep_their_defaults() -> None:
    for ablated in ("sharing", "preloading"):
        assert (
            "backbones_at_deployment"
            not in system_class(f"serverless-lora-no-{ablated}").served_with
        )
    assert system_class("serverless-lora").served_with["backbones_at_deployment"]


def test_limits_of_requests_hold_where_a_system_is_served_and_disturb_no_experiment() -> None:
    for name in ("serverless-lora", "serverless-llm", "instainfer"):
        cls = system_class(name)
        for limit in ("function_waiting", "caller_in_flight"):
            assert cls.served_with[limit] > 0
            assert cls().info().options[limit] is None
