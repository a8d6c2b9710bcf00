"""Which GPUs are this process's, by the rules of CUDA rather than those of the driver."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from systems.engine.cuda import context
from systems.errors import DeploymentError
from systems.runtime import cards, process, zygote
from systems.runtime.channel import Channel
from systems.runtime.incoming import Incoming
from systems.runtime.messages import Started
from systems.runtime.roles import Role
from systems.runtime.template_messages import Fork, Forked


class Nvml:
    """Two GPUs; a handle is a GPU's UUID."""

    class NVMLError(Exception):
        pass

    uuids = ("GPU-a", "GPU-b")

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return self.uuids[index]

    def nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return handle

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in self.uuids:
            raise self.NVMLError("Not Found")
        return uuid


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["GPU-a", "GPU-b"]),
        ("1", ["GPU-b"]),
        ("1,0", ["GPU-b", "GPU-a"]),
        ("GPU-b", ["GPU-b"]),
        ("", []),
    ],
)
def test_cards_are_those_that_cuda_sees(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert cards.handles() == expected


def test_a_card_of_another_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-c")
    with pytest.raises(Nvml.NVMLError):
        cards.handles()


def test_a_device_is_the_card_of_its_number_on_any_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    here = cards.Cards.here(["cuda:0", "cuda:1"])
    assert [here.uuid(name) for name in ("cuda:0", "cuda:1", "node-3/cuda:1")] == [
        "GPU-b", "GPU-a", "GPU-a",
    ]  # fmt: skip
    assert here.all_from(here.uuid("cuda:1")) == "GPU-a,GPU-b"
    assert cards.Cards.here(["cpu:1"]).uuid("cpu:1") == ""


def test_a_new_interpreter_sees_the_card_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert process.environment("GPU-b")["CUDA_VISIBLE_DEVICES"] == "GPU-b"
    assert process.environment()["CUDA_VISIBLE_DEVICES"] == "0,1", "as its parent"


def test_a_fork_sees_its_card_and_has_the_name_of_its_role_before_its_code_runs() -> None:
    told, tells = os.pipe()

    def tell(channel: Channel) -> int:
        name = Path("/proc/self/comm").read_bytes()
        os.write(tells, os.environ["CUDA_VISIBLE_DEVICES"].encode() + b" " + name)
        return 0

    role = Role("probe", __name__, Incoming(Started), Incoming(Started), tell)
    (gateways, templates), (ours, own) = socket.socketpair(), socket.socketpair()
    forked = zygote._fork(
        role,
        Fork(1, "probe", "cpu", "GPU-b"),
        Channel(templates, Incoming(Started)),
        (os.dup(told), os.dup(tells)),
        own.detach(),
        os.dup(2),
    )
    assert isinstance(forked, Forked)
    assert os.waitpid(forked.pid, 0)[1] == 0
    assert os.read(told, 99) == b"GPU-b probe\n"
    gateways.close()
    ours.close()


class Driver:
    """A CUDA driver whose first device is the GPU ``seen``."""

    def __init__(self, seen: str) -> None:
        self._seen = UUID(seen)

    def cuInit(self, flags: int) -> tuple[int]:  # noqa: N802
        return (0,)

    def cuDeviceGet(self, device: int) -> tuple[int, int]:  # noqa: N802
        return 0, device

    def cuDeviceGetUuid(self, device: int) -> tuple[int, Any]:  # noqa: N802
        assert device == 0
        return 0, SimpleNamespace(bytes=self._seen.bytes)


ONE, OTHER = "11111111-2222-3333-4444-555555555555", "11111111-2222-3333-4444-666666666666"


def test_a_process_on_another_card_is_caught_by_the_cards_uuid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(context, "driver", lambda: Driver(ONE))
    monkeypatch.setattr(context, "call", lambda answer: answer[1] if len(answer) > 1 else None)
    context.check_card(f"GPU-{ONE}")
    context.check_card("")
    with pytest.raises(DeploymentError, match=rf"given GPU {ONE}, its device is GPU-{OTHER}"):
        context.check_card(f"GPU-{OTHER}")
