"""vLLM over shared weights: the processes, their arguments and their parts of a card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from systems.engine.checkpoint import plan_layout
from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function, Limits
from systems.models import ensure_adapters, ensure_backbone
from systems.serverful.process import ServerProcess
from systems.vllm_shared import VllmShared

NAMES = ("f0", "f1")
GIB = 1 << 30


@pytest.fixture
def deployment(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
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


def own_bytes(deployment: Deployment) -> dict[str, int]:
    """Return what each server has beside the weights, by name."""
    plans = VllmShared().servers(deployment)
    return {p.name: int(value(p.command, "--kv-cache-memory-bytes")) + 3 * GIB for p in plans}


@pytest.mark.parametrize("cards", [1, 2])
def test_a_card_holds_the_weights_that_its_servers_map(deployment: Deployment, cards: int) -> None:
    """A server of either backbone, on one card and on two."""
    tiny = deployment.backbones["smollm2-135m"]
    functions = (
        deployment.functions[0],
        deployment.functions[1].model_copy(update={"backbone": "other"}),
    )
    changed = {
        "devices": tuple(Device(name=f"cuda:{n}", memory_bytes=20 * GIB) for n in range(cards)),
        "backbones": {"smollm2-135m": tiny, "other": tiny},
        "functions": functions,
    }
    weights = plan_layout(tiny, "float16").nbytes
    alone = 0.9 * 20 * GIB - weights - GIB
    own = alone if cards == 2 else (alone - weights - GIB) / 2
    found = own_bytes(deployment.model_copy(update=changed))
    assert list(found.values()) == pytest.approx([own, own], abs=2)


def test_weights_of_another_dtype_are_counted_in_it(deployment: Deployment) -> None:
    """``options.dtype`` is what vLLM computes in, and stores."""
    wide = deployment.model_copy(update={"options": {"dtype": "float32"}})
    tiny = deployment.backbones["smollm2-135m"]
    more = plan_layout(tiny, "float32").nbytes - plan_layout(tiny, "float16").nbytes
    assert own_bytes(deployment)["f0"] - own_bytes(wide)["f0"] == pytest.approx(more / 2, abs=2)


def test_arguments_of_the_deployment_count_more_than_what_is_derived(
    deployment: Deployment,
) -> None:
    asked = ("--kv-cache-memory-bytes", "5")
    options = {"options": {"arguments": asked}}
    for plan in VllmShared().servers(deployment.model_copy(update=options)):
        assert tuple(plan.command[-2:]) == asked, "the last one counts"
        assert "ipc_cache" in plan.command


def test_a_holder_that_dies_while_servers_start_ends_the_deployment_at_once(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYBACK", "holder-dies")
    with pytest.raises(DeploymentError, match=r"^weights-of-smollm2-135m-0: ended .* status 9"):
        VllmShared().deploy(deployment)


def test_servers_end_before_the_weights_that_they_map(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    stop = ServerProcess.stop

    def told(process: ServerProcess) -> None:
        ended.append(process.name)
        stop(process)

    monkeypatch.setattr(ServerProcess, "stop", told)
    with VllmShared() as system:
        system.deploy(deployment)
    assert ended[-1] == "weights-of-smollm2-135m-0"


def test_why_a_holder_could_not_start_is_part_of_the_error(
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
def test_a_device_without_room_or_card_is_refused(
    deployment: Deployment, devices: Device, why: str
) -> None:
    with pytest.raises(DeploymentError, match=why):
        VllmShared().servers(deployment.model_copy(update={"devices": (devices,)}))
