"""On a machine with NVIDIA's driver, processes for the CPU import their libraries in their sandbox,
and those for GPUs let Triton start its programs while theirs allows it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from systems.interface import Deployment
from systems.runtime import channel as wire
from systems.runtime import process
from systems.runtime.channel import Channel
from systems.runtime.messages import Message, Started
from systems.runtime.roles import Role
from systems.runtime.template_messages import Import, Ready
from systems.serverless.core.artifacts import Artifact
from systems.serverless.live import messages as m
from systems.serverless.live import roles
from systems.serverless.live.adapters import memory_file
from systems.serverless.live.adapters.messages import Parsed
from systems.serverless.live.adapters.requests import parse_request
from systems.serverless.live.plan import Plan, make_plan
from systems.serverless.live.weights import store

TIMEOUT_MS = 240_000  # the import of the libraries takes minutes on a busy machine
_PROGRAMS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"}
_START = f"""
import pathlib, runpy, sys

exists = pathlib.Path.exists
pathlib.Path.exists = lambda path, **k: str(path) == "/dev/nvidiactl" or exists(path, **k)
programs = {_PROGRAMS!r}
sys.addaudithook(lambda event, _: print(event, flush=True) if event in programs else None)
runpy.run_module(sys.argv.pop(1), run_name="__main__")
"""
"""Runs a module as ``python -m`` does, as if the machine had a driver, and prints what programs and
forks it starts."""


class Process:
    """A process of the platform that is started without a template."""

    def __init__(self, role: Role, device: str) -> None:
        ours, theirs = wire.pair()
        module, *arguments = process.start_of(role, theirs.fileno(), device)[2:]
        self._popen = subprocess.Popen(
            [sys.executable, "-c", _START, module, *arguments],
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
            text=True,
            # No search for the driver's library, which is not here.
            env={**process.environment(), "TRITON_LIBCUDA_PATH": "/"},
        )
        theirs.close()
        self._channel = Channel(ours, role.says)

    def tell(self, *messages: Message, fds: Sequence[int] = ()) -> None:
        for message in messages:
            self._channel.send(message, fds)

    def says(self) -> Message:
        received = self._channel.receive(TIMEOUT_MS)
        assert received is not None, "it said nothing"
        return received[0]

    def end(self) -> list[str]:
        """End it; return what it started."""
        self._channel.close()
        return self._popen.communicate(timeout=TIMEOUT_MS / 1000)[0].split()


def instance_that_imported(plan: Plan, device: str) -> Process:
    """Return an instance on a kind of device that has the libraries."""
    instance = Process(roles.INSTANCE, device)
    instance.tell(plan.configuration("f0"), m.LoadArtifact(Artifact.LIBRARIES))
    assert isinstance(instance.says(), Started)
    assert instance.says() == m.ArtifactLoaded(Artifact.LIBRARIES)
    return instance


def template_that_imported(device: str) -> Process:
    template = Process(roles.TEMPLATE, device)
    template.tell(Import(device))
    assert isinstance(template.says(), Started)
    assert isinstance(template.says(), Ready)
    return template


def on_card(deployment: Deployment) -> Deployment:
    device = deployment.devices[0].model_copy(update={"name": "cuda:0", "memory_bytes": 8 << 30})
    return deployment.model_copy(update={"devices": (device,)})


def test_an_instance_on_the_cpu_starts_no_program(deployment: Deployment) -> None:
    plan = make_plan(deployment, forks=False)
    assert not instance_that_imported(plan, "cpu").end()


def test_a_loader_on_the_cpu_starts_no_program(deployment: Deployment) -> None:
    plan = make_plan(deployment, forks=False)
    told = m.FillCopy(
        device="cpu",
        sharing=plan.options.cuda_sharing,
        audited=False,
        layout=plan.layout("tiny"),
        model_dir=str(plan.model_dir("tiny")),
    )
    fd = store.create("backbone:tiny", plan.layouts["tiny"].nbytes)
    loader = Process(roles.LOADER, "cpu")
    loader.tell(told, fds=[fd])
    os.close(fd)
    assert loader.says() == m.CopyLoaded()
    assert not loader.end()


def test_a_parser_starts_no_program(deployment: Deployment) -> None:
    """On a node with GPUs too: it needs none."""
    plan = make_plan(on_card(deployment), forks=False)
    shape = m.SlotShape(16, ("k_proj", "o_proj", "q_proj", "v_proj"))
    request = parse_request(plan, "f0", shape)
    fd = memory_file.create(request.nbytes)
    parser = Process(roles.PARSER, "cuda")
    parser.tell(request, fds=[fd])
    os.close(fd)
    assert parser.says() == Parsed()
    assert not parser.end()


def test_a_template_of_processes_on_the_cpu_starts_no_program() -> None:
    assert not template_that_imported("cpu").end()


def test_a_template_of_processes_on_a_gpu_starts_programs() -> None:
    assert template_that_imported("cuda").end(), "Triton asked no program"


def test_an_instance_on_a_gpu_starts_programs_while_it_may_and_once(deployment: Deployment) -> None:
    """One that was prewarmed is asked for its libraries again when it belongs to a function, and
    may start nothing by then."""
    instance = instance_that_imported(make_plan(on_card(deployment), forks=False), "cuda")
    instance.tell(m.LoadArtifact(Artifact.LIBRARIES))
    assert instance.says() == m.ArtifactLoaded(Artifact.LIBRARIES)
    assert instance.end().count("os.fork") == 1, "what the GPUs are is asked once"
