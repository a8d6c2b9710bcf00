"""Wrong options of a system: one line that names the system, the option and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from systems.errors import DeploymentError, PolicyError
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


@pytest.mark.parametrize(
    ("name", "options", "readers"),
    [
        ("serverless-llm", {"batch_hold": "always"}, "batching=fill-or-expire-smallest-margin"),
        ("serverless-lora-no-adaptive-batching", {"batch_delay_s": 0.5}, "batching=fill-or-expire"),
        ("instainfer", {"prompts_first": True}, "batching=fill-or-expire-smallest-margin"),
        ("serverless-lora", {"takeover": "container"}, "preloading=opportunistic-by-expected"),
        ("serverless-lora-no-preloading", {"template": "containers"}, "preloading=knapsack-by-den"),
    ],
)
def test_an_option_that_no_policy_of_a_system_reads_is_refused(
    name: str, options: Mapping[str, Any], readers: str
) -> None:
    (option,) = options
    with pytest.raises(PolicyError, match=f"^{name}: option {option}: none .*{readers}"):
        system_class(name)().configure(deployment(options))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("serverless-llm", {"batch_hold": "contended", "max_prefills": 2}),
        ("serverless-lora", {"batch_hold": "always", "template": "containers"}),
        ("instainfer", {"takeover": "libraries"}),
    ],
)
def test_an_option_that_a_policy_reads_or_that_is_as_by_default_is_taken(
    name: str, options: Mapping[str, Any]
) -> None:
    system = system_class(name)()
    system.configure(deployment(options))
    assert system.info().options.items() >= options.items()


def test_shedding_and_an_admission_policy_are_not_asked_for_together() -> None:
    asked = deployment({"shed": True}).model_copy(update={"policies": {"admission": "all"}})
    with pytest.raises(PolicyError, match="give one of them"):
        system_class("serverless-lora")().configure(asked)
