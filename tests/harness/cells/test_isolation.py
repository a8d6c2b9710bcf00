"""Isolation levels and tenants of a deployment: the experiment's, or those of a system's choice."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cells.deployments import simulated_deployment
from harness.cells.isolation import groups_of, isolation_of, tenants_of
from harness.choices import DeploymentChoice, SystemChoice
from harness.errors import HarnessError
from harness.experiment_files import load
from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function
from systems.registry import _SHIPPED, system_class

FUNCTIONS = ["f0", "f1", "f2", "f3", "f4"]
LEVELLED = [name for name in _SHIPPED if system_class(name).isolation_levels]
OTHERS = [name for name in _SHIPPED if name not in LEVELLED]


def level(system: str, isolation: str | None = None, of_all: str = "tenant") -> str:
    choice = DeploymentChoice.model_validate({"isolation": of_all})
    return isolation_of(
        choice, SystemChoice.model_validate({"name": system, "isolation": isolation})
    )


@pytest.mark.parametrize("name", LEVELLED)
def test_the_deployments_level_applies_unless_the_systems_choice_has_one(
    name: str,
) -> None:
    assert level(name) == "tenant"
    assert level(name, "backbone") == "backbone"


@pytest.mark.parametrize("name", OTHERS)
def test_systems_without_levels_ignore_the_deployments_level_and_refuse_one_of_their_own(
    name: str,
) -> None:
    assert level(name) == "function"
    with pytest.raises(DeploymentError, match=f"isolation tenant: system {name} .* has none"):
        level(name, "tenant")


@pytest.mark.parametrize("name", OTHERS)
def test_systems_without_levels_refuse_a_deployment_at_a_level(name: str) -> None:
    deployment = Deployment(
        functions=(Function(id="f0", backbone="tiny", tenant="acme"),),
        backbones={"tiny": Path("tiny")},
        devices=(Device(name="cpu:0", memory_bytes=1),),
        isolation="backbone",
    )
    with pytest.raises(DeploymentError, match=f"isolation backbone: system {name}"):
        system_class(name)().configure(deployment)


@pytest.mark.parametrize(
    ("tenants", "owners"),
    [
        (None, {}),
        (2, {"f0": "t0", "f1": "t1", "f2": "t0", "f3": "t1", "f4": "t0"}),
        (9, {f"f{index}": f"t{index}" for index in range(5)}),
        ({"f1": "acme"}, {"f1": "acme"}),
    ],
)
def test_tenants_are_assigned_in_turn_or_by_name(tenants: object, owners: object) -> None:
    alone = SystemChoice(name="serverless-lora")
    choice = DeploymentChoice.model_validate({"tenants": tenants})
    assert tenants_of(choice, alone, FUNCTIONS) == owners
    own = SystemChoice.model_validate({"name": "serverless-lora", "tenants": tenants or 1})
    assert tenants_of(DeploymentChoice(tenants=3), own, FUNCTIONS) == (
        owners or dict.fromkeys(FUNCTIONS, "t0")
    )


@pytest.mark.parametrize(("count", "known"), [(2, "f0, f1$"), (1000, "f0, f1, f2, …, f999$")])
def test_a_tenant_of_a_function_that_does_not_exist_is_refused(count: int, known: str) -> None:
    choice = DeploymentChoice(tenants={"f0": "acme", "g0": "acme"})
    with pytest.raises(HarnessError, match=f"'g0' is not deployed; deployed: {known}"):
        tenants_of(
            choice, SystemChoice(name="serverless-lora"), [f"f{index}" for index in range(count)]
        )


def test_a_deployment_has_its_level_its_tenants_and_so_its_groups() -> None:
    """Both tenants have functions over both backbones, which makes four groups."""
    choice = DeploymentChoice(backbones=("llama2-7b", "llama2-13b"), tenants={
        "f0": "a", "f1": "a", "f2": "b", "f3": "b", "f4": "a",
    })  # fmt: skip
    system = SystemChoice(name="serverless-lora", isolation="tenant")
    made = simulated_deployment(choice, system, FUNCTIONS, "cuda")
    assert made.isolation == "tenant"
    assert [each.tenant for each in made.functions] == ["a", "a", "b", "b", "a"]
    assert groups_of(system_class("serverless-lora"), made) == {
        "a@llama2-7b": ("f0", "f4"),
        "a@llama2-13b": ("f1",),
        "b@llama2-7b": ("f2",),
        "b@llama2-13b": ("f3",),
    }
    assert groups_of(system_class("multi-lora"), made) is None


@pytest.mark.parametrize("name", ["isolation", "isolation-h100"])
@pytest.mark.parametrize("mode", ["live", "simulated"])
def test_the_price_of_isolation_is_taken_at_8_4_2_and_1_tenants(name: str, mode: str) -> None:
    experiment = load(name, {"mode": mode})
    functions = [f"f{index}" for index in range(8)]
    found = [
        groups_of(
            system_class(system.name),
            simulated_deployment(experiment.deployment, system, functions, "cpu"),
        )
        for system in experiment.systems
    ]
    assert [len(groups) for groups in found if groups is not None] == [8, 4, 2, 1]
    assert experiment.workloads == load(name).workloads, "so that both can stand side by side"
