"""On a machine with NVIDIA's driver, processes for the CPU import their libraries in their sandbox,
and those for GPUs let Triton start its programs while theirs allows it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from systems.interface import Deployment
from systems.runtime.messages import Started
from systems.runtime.template_messages import Import, Ready
from systems.serverless.core.artifacts import Artifact
from systems.serverless.live import messages as m
from systems.serverless.live import roles
from systems.serverless.live.adapters import memory_file
from systems.serverless.live.adapters.messages import Parsed
from systems.serverless.live.adapters.requests import parse_request
from systems.serverless.live.plan import Plan, make_plan
from systems.serverless.live.weights import store

from .beside_a_driver import Process, Start, forks, fresh


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Starts processes with the libraries of others, whose import takes seconds."""
    with forks() as fork:
        yield fork


def instance_that_imported(start: Start, plan: Plan, device: str) -> Process:
    """Return an instance on a kind of device that has the libraries."""
    instance = Process(start, roles.INSTANCE, device)
    instance.tell(plan.configuration("f0"), m.LoadArtifact(Artifact.LIBRARIES))
    assert isinstance(instance.says(), Started)
    assert instance.says() == m.ArtifactLoaded(Artifact.LIBRARIES)
    return instance


def template_that_imported(start: Start, device: str) -> Process:
    template = Process(start, roles.TEMPLATE, device)
    template.tell(Import(device))
    assert isinstance(template.says(), Started)
    assert isinstance(template.says(), Ready)
    return template


def on_card(deployment: Deployment) -> Deployment:
    device = deployment.devices[0].model_copy(update={"name": "cuda:0", "memory_bytes": 8 << 30})
    return deployment.model_copy(update={"devices": (device,)})


def test_an_instance_on_the_cpu_starts_no_program(start: Start, deployment: Deployment) -> None:
    plan = make_plan(deployment, forks=False)
    assert not instance_that_imported(start, plan, "cpu").end()


def test_a_loader_on_the_cpu_starts_no_program(start: Start, deployment: Deployment) -> None:
    plan = make_plan(deployment, forks=False)
    told = m.FillCopy(
        device="cpu",
        sharing=plan.options.cuda_sharing,
        audited=False,
        layout=plan.layout("tiny"),
        model_dir=str(plan.model_dir("tiny")),
    )
    fd = store.create("backbone:tiny", plan.layouts["tiny"].nbytes)
    loader = Process(start, roles.LOADER, "cpu")
    loader.tell(told, fds=[fd])
    os.close(fd)
    assert loader.says() == m.CopyLoaded()
    assert not loader.end()


def test_a_parser_starts_no_program(deployment: Deployment) -> None:
    """On a node with GPUs too: it needs none. It imports everything itself, in the sandbox that
    processes on the CPU have before they read files of tenants."""
    plan = make_plan(on_card(deployment), forks=False)
    shape = m.SlotShape(16, ("k_proj", "o_proj", "q_proj", "v_proj"))
    request = parse_request(plan, "f0", shape)
    fd = memory_file.create(request.nbytes)
    parser = Process(fresh, roles.PARSER, "cuda")
    parser.tell(request, fds=[fd])
    os.close(fd)
    assert parser.says() == Parsed()
    assert not parser.end()


def test_a_template_of_processes_on_the_cpu_starts_no_program(start: Start) -> None:
    assert not template_that_imported(start, "cpu").end()


def test_a_template_of_processes_on_a_gpu_starts_programs(start: Start) -> None:
    assert template_that_imported(start, "cuda").end(), "Triton asked no program"


def test_an_instance_on_a_gpu_starts_programs_while_it_may_and_once(
    start: Start, deployment: Deployment
) -> None:
    """One that was prewarmed is asked for its libraries again when it belongs to a function, and
    may start nothing by then."""
    instance = instance_that_imported(start, make_plan(on_card(deployment), forks=False), "cuda")
    instance.tell(m.LoadArtifact(Artifact.LIBRARIES))
    assert instance.says() == m.ArtifactLoaded(Artifact.LIBRARIES)
    assert instance.end().count("os.fork") == 1, "what the GPUs are is asked once"
