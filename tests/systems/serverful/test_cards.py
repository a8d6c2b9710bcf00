"""Servers on several cards: which functions and which card each one gets, and what it sees."""

from __future__ import annotations

import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from systems import vllm_sleep
from systems.dlora import DLoRA
from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function, Limits
from systems.models import ensure_adapters, ensure_backbone
from systems.naive import Naive
from systems.runtime import cards
from systems.serverful.cards import by_card, environment, place
from systems.serverful.inhouse.options import Options
from systems.vllm import EXECUTABLE, Vllm, VllmDedicated
from systems.vllm_sleep import VllmSleep

NAMES = tuple(f"f{n}" for n in range(4))


def cuda(count: int) -> tuple[Device, ...]:
    return tuple(Device(name=f"cuda:{n}", memory_bytes=24 << 30) for n in range(count))


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Deployment:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    vllm = tmp_path / "vllm"
    vllm.touch(stat.S_IRWXU)
    monkeypatch.setenv(EXECUTABLE, str(vllm))
    tiny = ensure_backbone("tiny")
    adapters = ensure_adapters(tiny, list(NAMES), rank=8)
    return Deployment(
        functions=tuple(Function(id=n, backbone="tiny", adapter=adapters[n]) for n in NAMES),
        backbones={"tiny": tiny},
        devices=cuda(2),
        limits=Limits(max_batch_size=4, max_context_tokens=256, threads_per_instance=1),
    )


def on(deployment: Deployment, count: int, **more: Any) -> Deployment:
    return deployment.model_copy(update={"devices": cuda(count), **more})


def functions(*names: str) -> list[Function]:
    return [Function(id=name, backbone="b") for name in names]


@pytest.mark.parametrize(
    ("groups", "cards", "expected"),
    [
        ({"a": "wxyz"}, 1, [("a", "wxyz", 0, 1)]),
        ({"a": "wxyz"}, 2, [("a", "wy", 0, 1), ("a-1", "xz", 1, 1)]),
        ({"a": "wx", "b": "yz"}, 1, [("a", "wx", 0, 2), ("b", "yz", 0, 2)]),
        ({"a": "wx", "b": "yz"}, 2, [("a", "wx", 0, 1), ("b-1", "yz", 1, 1)]),
        (
            {"a": "wx", "b": "yz"},
            4,
            [("a", "w", 0, 1), ("b-1", "y", 1, 1), ("a-2", "x", 2, 1), ("b-3", "z", 3, 1)],
        ),
        ({"a": "wxy"}, 2, [("a", "wy", 0, 1), ("a-1", "x", 1, 1)]),
        ({"a": "w"}, 2, [("a", "w", 0, 1)]),
        ({n: n for n in "wxy"}, 2, [("w", "w", 0, 2), ("x-1", "x", 1, 1), ("y", "y", 0, 2)]),
    ],
)
def test_a_server_a_card_and_functions_in_turn(
    groups: dict[str, str], cards: int, expected: list[tuple[str, str, int, int]]
) -> None:
    placed = place({name: functions(*of) for name, of in groups.items()}, cuda(cards))
    assert [
        (each.name, "".join(f.id for f in each.functions), int(each.device.name[-1]), each.beside)
        for each in placed
    ] == expected


def test_budgets_of_host_memory_are_one_device_for_servers() -> None:
    devices = [Device(name=f"cpu:{n}", memory_bytes=1 << 30) for n in range(2)]
    (one,) = place({"a": functions("x", "y")}, devices)
    assert (len(one.functions), one.device.name) == (2, "cpu:0")


def test_a_vllm_server_sees_its_card_alone(deployment: Deployment) -> None:
    one, other = Vllm().servers(deployment)
    assert set(one.models) & set(NAMES) == {"f0", "f2"}
    assert set(other.models) & set(NAMES) == {"f1", "f3"}
    assert "CUDA_VISIBLE_DEVICES" not in one.environment, "the first card is the default"
    assert other.environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert one.base_url != other.base_url
    assert {word for plan in (one, other) for word in plan.command if word == "0.9"}


def test_servers_of_one_card_divide_it(deployment: Deployment) -> None:
    plans = VllmDedicated().servers(deployment)
    shares = [plan.command[plan.command.index("--gpu-memory-utilization") + 1] for plan in plans]
    assert shares == ["0.45"] * 4, "two on each of two cards"


def test_a_server_takes_no_more_of_a_larger_card_than_the_deployment_has(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (has,) = {each.memory_bytes for each in deployment.devices}
    monkeypatch.setattr(cards, "memory_of", lambda _device: 2 * has)
    plans = Vllm().servers(deployment)
    assert {word for plan in plans for word in plan.command if word.startswith("0.")} == {"0.5"}


def test_the_card_is_named_as_this_process_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert environment(cuda(2)[1])["CUDA_VISIBLE_DEVICES"] == "7"
    with pytest.raises(DeploymentError, match=r"device cuda:2: CUDA_VISIBLE_DEVICES shows fewer"):
        environment(cuda(3)[2])


@pytest.mark.parametrize("system", [Naive, VllmSleep])
def test_a_proxy_for_each_card_with_functions_of_its_own(
    deployment: Deployment, system: type[Naive | VllmSleep]
) -> None:
    made = system()
    one, other = made.servers(deployment)
    configs = [made._configs[plan.name] for plan in (one, other)]
    assert [config.device for config in configs] == ["cuda:0", "cuda:1"]
    assert [sorted(set(plan.models) & set(NAMES)) for plan in (one, other)] == [
        ["f0", "f2"],
        ["f1", "f3"],
    ]
    seen = {server.environment.get("CUDA_VISIBLE_DEVICES") for server in configs[1].servers}
    assert seen == {"1"}
    names = [server.name for config in configs for server in config.servers]
    assert len(set(names)) == len(names), "records tell them apart"


@pytest.mark.parametrize("count", [1, 2])
def test_servers_of_all_cards_share_the_host_memory_that_they_sleep_in(
    deployment: Deployment, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the four servers needs 3 GiB beside its weights, which are tiny."""
    asked = on(deployment, count, options={"one_per": "function"})
    memory = SimpleNamespace(available=13 << 30)
    monkeypatch.setattr(vllm_sleep, "psutil", SimpleNamespace(virtual_memory=lambda: memory))
    VllmSleep().check(asked)
    memory.available = 12 << 30
    with pytest.raises(DeploymentError, match=r"4 sleeping servers need 12\.0 GiB of host memory"):
        VllmSleep().check(asked)


def test_no_two_proxies_have_a_port(deployment: Deployment) -> None:
    parts = list(by_card(on(deployment, 3, port=9000)))
    assert [part.port for part in parts] == [9000, 9005, 9010]
    assert [len(part.functions) for part in parts] == [2, 1, 1]
    (whole,) = by_card(on(deployment, 1))
    assert whole == on(deployment, 1)


def test_in_tree_servers_still_refuse_several_budgets_of_host_memory(
    deployment: Deployment,
) -> None:
    budgets = tuple(Device(name=f"cpu:{n}", memory_bytes=1 << 30) for n in range(2))
    for system in (DLoRA(), Naive()):
        with pytest.raises(DeploymentError, match=r"cpu:0, cpu:1: .* run on one device on the CPU"):
            system.servers(deployment.model_copy(update={"devices": budgets}))
    assert len(DLoRA().servers(deployment)) == 1, "one for a backbone, with replicas on both cards"


def test_replicas_are_on_all_cards_if_there_is_one_for_each(deployment: Deployment) -> None:
    per_device = deployment.model_copy(update={"options": {"replicas": "per-device"}})
    assert Options.of(per_device, "dlora").count == 2
    assert Options.of(deployment, "dlora").count == 1, "as before"
    assert Options.of(on(per_device, 4), "dlora").count == 4


def test_each_card_has_one_replica_if_backbones_share_the_cards(deployment: Deployment) -> None:
    of = ("a", "b", "a", "b")
    two = tuple(
        f.model_copy(update={"backbone": b}) for f, b in zip(deployment.functions, of, strict=True)
    )
    alone = deployment.model_copy(update={"options": {"replicas": "one-a-device"}})
    both = alone.model_copy(update={"functions": two})
    counts = [
        Options.of(on(each, cards), "dlora").count for each in (alone, both) for cards in (1, 2, 8)
    ]
    assert counts == [1, 2, 8, 1, 1, 4]
