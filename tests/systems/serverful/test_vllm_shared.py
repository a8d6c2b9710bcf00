"""vLLM over shared weights: the processes, their arguments and their parts of a card."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from systems.engine.checkpoint import plan_layout
from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function, Limits
from systems.models import ensure_adapters, ensure_backbone
from systems.vllm import EXECUTABLE
from systems.vllm_shared import VllmShared

PLAYBACK = Path(__file__).with_name("playback.py")
NAMES = ("f0", "f1")
GIB = 1 << 30


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    path = tmp_path / "vllm"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {PLAYBACK} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv(EXECUTABLE, str(path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    tiny = ensure_backbone("tiny")
    adapters = ensure_adapters(tiny, list(NAMES), rank=8)
    return Deployment(
        functions=tuple(
            Function(id=n, backbone="smollm2-135m", adapter=adapters[n]) for n in NAMES
        ),
        backbones={"smollm2-135m": tiny},
        devices=(Device(name="cuda:0", memory_bytes=20 * GIB),),
        dtype="float16",
        limits=Limits(max_batch_size=4, max_context_tokens=256, threads_per_instance=1),
    )


def value(command: Sequence[str], name: str) -> str:
    return command[list(command).index(name) + 1]


def test_servers_start_when_the_weights_are_held_and_all_end(deployment: Deployment) -> None:
    with VllmShared() as system:
        endpoint = system.deploy(deployment)
        assert len(endpoint.pids) == 3
        assert len({endpoint.route(name).base_url for name in NAMES}) == 2
        logs = {name: text.split() for name, text in system.system_trace().files.items()}
    assert not any(psutil.pid_exists(pid) for pid in endpoint.pids)
    held = logs["weights-of-smollm2-135m-0.log"]
    for name in NAMES:
        said = logs[f"{name}.log"]
        where = json.loads("".join(said[said.index("--model-loader-extra-config") + 1 :][:4]))
        assert where == {
            "socket_dir": value(held, "--weight-cache-socket-dir"),
            "fallback": False,
        }, "a server that does not find the weights may not load a copy"


def test_each_has_an_equal_part_beside_the_weights(deployment: Deployment) -> None:
    weights = plan_layout(deployment.backbones["smollm2-135m"], "float16").nbytes
    for plan in VllmShared().servers(deployment):
        kv = int(value(plan.command, "--kv-cache-memory-bytes"))
        own = kv + 3 * GIB
        # vLLM's default share of the card, less the weights and the process that holds them.
        assert 2 * own + weights + GIB == pytest.approx(0.9 * 20 * GIB, abs=2)
        asked = float(value(plan.command, "--gpu-memory-utilization")) * 20 * GIB
        assert asked - weights == pytest.approx(own, abs=GIB / 100), "vLLM takes the weights off"


def test_a_process_holds_the_weights_on_each_card(deployment: Deployment) -> None:
    devices = tuple(Device(name=f"cuda:{n}", memory_bytes=20 * GIB) for n in range(2))
    with VllmShared() as system:
        endpoint = system.deploy(deployment.model_copy(update={"devices": devices}))
        names = set(system.system_trace().files)
    assert len(endpoint.pids) == 4
    assert {f"weights-of-smollm2-135m-{n}.log" for n in range(2)} <= names


def test_one_that_cannot_hold_the_weights_is_told_with_its_last_words(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYBACK", "holder-fails")
    with pytest.raises(DeploymentError, match=r"^weights-of-smollm2-135m-0: .*out of memory"):
        VllmShared().deploy(deployment)


@pytest.mark.parametrize(
    ("devices", "why"),
    [
        (Device(name="cpu:0", memory_bytes=GIB), r"^vllm-shared: .* the device is cpu:0$"),
        (Device(name="cuda:0", memory_bytes=6 * GIB), r"2 servers on cuda:0 have 2\.\d GiB each"),
    ],
)
def test_a_device_that_does_not_do_is_refused(
    deployment: Deployment, devices: Device, why: str
) -> None:
    with pytest.raises(DeploymentError, match=why):
        VllmShared().servers(deployment.model_copy(update={"devices": (devices,)}))
