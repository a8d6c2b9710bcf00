"""Prewarmed processes: they are started, taken by instances, replaced, and dropped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function, Limits
from systems.models import ensure_adapters, ensure_backbone
from systems.runtime.cards import Cards
from systems.runtime.messages import Failed, Message, Started
from systems.serverless.core.artifacts import Artifact, CopyKey
from systems.serverless.core.events import BackboneFailed, PrewarmedReady
from systems.serverless.live.messages import (
    AllowPreparation,
    ArtifactLoaded,
    Configure,
    LoadArtifact,
    Prepared,
)
from systems.serverless.live.node import Node
from systems.serverless.live.nodes import DeviceWork
from systems.serverless.live.plan import make_plan
from systems.serverless.live.prewarmed import PrewarmedProcesses, slot_shape
from systems.serverless.live.weights.handle import SharedWeightsHandle

KEY = CopyKey("tiny", "cuda:0")


@dataclass
class Channel:
    sent: list[tuple[Message, list[int]]] = field(default_factory=list)

    def send(self, message: Message, fds: Any = ()) -> None:
        self.sent.append((message, list(fds)))


@dataclass(eq=False)
class Process:
    """A fake fork of the warm pool."""

    on_message: Callable[[Message, list[int]], None]
    on_exit: Callable[[int | None], None]
    channel: Channel = field(default_factory=Channel)

    def loads_everything(self) -> None:
        for artifact in (Artifact.LIBRARIES, Artifact.BACKBONE, Artifact.KERNELS):
            self.on_message(ArtifactLoaded(artifact), [])


@dataclass
class Resident:
    weights_handle: SharedWeightsHandle = field(default_factory=lambda: SharedWeightsHandle(fd=7))


class Machine:
    def __init__(self, prewarmed: int) -> None:
        tiny = ensure_backbone("tiny")
        adapters = ensure_adapters(tiny, ["f0", "f1"], rank=8)
        self.deployment = Deployment(
            functions=tuple(Function(id=n, backbone="tiny", adapter=adapters[n]) for n in adapters),
            backbones={"tiny": tiny},
            dtype="float32",
            devices=(Device(name="cuda:0", memory_bytes=32 << 30),),
            limits=Limits(max_batch_size=4, max_context_tokens=512),
            options={"prewarmed": prewarmed},
        )
        self.plan = make_plan(self.deployment, forks=True)
        self.forked: list[Process] = []
        self.ended: list[Any] = []
        self.waiting: list[tuple[float, Callable[[], None]]] = []
        self.told: list[PrewarmedReady] = []
        self.copies = {KEY: Resident()}
        self.prewarmed = PrewarmedProcesses(
            self.plan,
            Cards({"cuda:0": "GPU-0", "cuda:1": "GPU-1"}),
            self.copies,
            self._fork,  # type: ignore[arg-type]
            self.ended.append,
            lambda seconds, then: self.waiting.append((seconds, then)),
            self.told.append,
        )

    def _fork(self, device: str, on_message: Any, on_exit: Any) -> Process:
        assert device == KEY.device
        self.forked.append(Process(on_message, on_exit))
        return self.forked[-1]


def kind_of(message: Message) -> str:
    return str(msgspec.to_builtins(message)["kind"])


def taken(machine: Machine, heard: list[str]) -> Process:
    """A prewarmed process taken by an instance, and the messages that the instance receives."""
    prewarmed_process = machine.prewarmed.take("tiny", "cuda:0")
    assert prewarmed_process is not None
    return prewarmed_process.become(  # type: ignore[return-value]
        lambda message, _: heard.append(kind_of(message)), lambda _: heard.append("exit")
    )


def test_the_furthest_is_taken_and_another_made_in_its_place() -> None:
    machine = Machine(prewarmed=2)
    machine.prewarmed.refill(KEY)
    machine.forked[0].loads_everything()
    first, second = machine.forked
    assert machine.prewarmed.take("tiny", "cuda:1") is None
    assert taken(machine, []) is first
    machine.prewarmed.refill(KEY)
    assert machine.forked == [first, second], "one is being made already"
    assert taken(machine, []) is second
    machine.prewarmed.refill(KEY)
    assert len(machine.forked) == 3


def test_how_many_are_ready_and_how_long_they_took_is_told() -> None:
    machine, before = Machine(prewarmed=2), time.monotonic_ns()
    machine.prewarmed.refill(KEY)
    assert machine.told == []
    for index in range(2):
        machine.forked[index].on_message(Started(1), [])
        machine.forked[index].loads_everything()
    assert [each.ready for each in machine.told] == [1, 2]
    made = [each.took_ns for each in machine.told]
    assert all(took_ns > 0 for took_ns in made)
    assert sum(made) <= time.monotonic_ns() - before
    machine.forked[0].on_exit(-9)
    machine.prewarmed.drop(KEY)
    assert [(each.ready, each.took_ns) for each in machine.told[2:]] == [(1, 0), (0, 0)]


def test_the_engine_of_an_instance_whose_shape_is_another_was_not_prewarmed() -> None:
    machine = Machine(prewarmed=1)
    assert machine.prewarmed.fits("f0", "tiny")
    machine.plan.adapters.pop("f0")
    assert not machine.prewarmed.fits("f0", "tiny"), "it has no adapter to take the slot"


def test_they_are_made_one_after_the_other() -> None:
    machine = Machine(prewarmed=2)
    machine.prewarmed.refill(KEY)
    assert len(machine.forked) == 1
    machine.forked[0].loads_everything()
    assert len(machine.forked) == 2
    machine.forked[1].loads_everything()
    assert len(machine.forked) == 2


def test_a_node_is_settled_once_every_process_has_prepared_its_engine() -> None:
    machine = Machine(prewarmed=2)
    machine.prewarmed.refill(KEY)
    for index in range(2):
        machine.forked[index].loads_everything()
        machine.forked[index].on_message(Prepared(), [])
        assert machine.prewarmed.settled == (index == 1), "the second one is made after the first"
    taken(machine, [])
    machine.prewarmed.refill(KEY)
    machine.forked[2].loads_everything()
    assert not machine.prewarmed.settled
    machine.forked[2].on_message(Prepared(), [])
    assert machine.prewarmed.settled


def test_one_that_was_prepared_and_ended_is_replaced_and_one_that_never_was_is_not() -> None:
    machine = Machine(prewarmed=1)
    machine.prewarmed.refill(KEY)
    machine.forked[0].loads_everything()
    machine.forked[0].on_message(Prepared(), [])
    machine.forked[0].on_exit(-9)
    assert len(machine.forked) == 2
    machine.forked[1].loads_everything()
    assert not machine.prewarmed.settled
    machine.forked[1].on_exit(1)
    assert len(machine.forked) == 2, "it would fail again and again"
    assert machine.prewarmed.settled, "nothing that a deployment could wait for is made"


def test_one_that_is_ready_speaks_as_an_instance_at_once() -> None:
    machine, heard = Machine(prewarmed=1), list[str]()
    machine.prewarmed.refill(KEY)
    machine.forked[0].loads_everything()
    process = taken(machine, heard)
    process.on_message(Started(1), [])
    process.on_exit(0)
    assert heard == ["started", "exit"]


def test_what_one_still_owes_as_a_spare_its_instance_does_not_hear() -> None:
    machine, heard = Machine(prewarmed=1), list[str]()
    machine.prewarmed.refill(KEY)
    (process,) = machine.forked
    process.on_message(Started(1), [])
    prewarmed_process = machine.prewarmed.take("tiny", "cuda:0")
    assert prewarmed_process is not None
    prewarmed_process.become(lambda message, _: heard.append(kind_of(message)), lambda _: None)
    process.loads_everything()
    assert heard == []
    process.on_message(Started(1), [])
    process.on_message(ArtifactLoaded(Artifact.ADAPTER), [])
    assert heard == ["started", "loaded"]
    assert [span.stage.value for span in prewarmed_process.timeline.spans] == [
        "warming", "libraries", "backbone", "kernels",
    ]  # fmt: skip


def test_one_that_fails_when_it_is_taken_fails_its_instance() -> None:
    machine, heard = Machine(prewarmed=1), list[str]()
    machine.prewarmed.refill(KEY)
    (process,) = machine.forked
    taken(machine, heard)
    process.on_message(Failed("no memory"), [])
    assert heard == ["failed"]


def test_one_is_told_of_the_backbone_alone_with_a_slot_as_most_adapters_need() -> None:
    machine = Machine(prewarmed=1)
    machine.prewarmed.refill(KEY)
    told, _ = machine.forked[0].channel.sent[0]
    assert isinstance(told, Configure)
    assert told.adapter is None, "it knows no function's"
    assert told.card == "GPU-0"
    assert told.slot == slot_shape(machine.plan, "tiny")
    assert told.slot is not None
    assert told.slot.rank == 8
    sent = machine.forked[0].channel.sent
    mapped = [fds for told, fds in sent if isinstance(told, LoadArtifact)]
    assert mapped == [[], [7], []]


def test_they_go_with_the_copy_that_they_map_and_by_themselves() -> None:
    machine = Machine(prewarmed=2)
    machine.prewarmed.refill(KEY)
    machine.forked[0].loads_everything()
    dying, living = machine.forked
    dying.on_exit(-9)
    assert machine.prewarmed.children == [living]
    machine.prewarmed.drop(KEY)
    assert machine.ended == [living]
    assert machine.prewarmed.children == []


def test_they_go_with_a_copy_that_fails() -> None:
    """The process that keeps a copy on a GPU may end after it was loaded."""
    machine, told = Machine(prewarmed=1), list[Any]()
    machine.prewarmed.refill(KEY)
    reports = SimpleNamespace(event=told.append)
    node: Any = SimpleNamespace(_reports=reports, _prewarmed=machine.prewarmed, instances={})
    failed = BackboneFailed(KEY, 1, "killed")
    Node._of_a_copy(node, failed)
    assert (told, machine.ended) == ([failed], machine.forked)


def test_none_is_made_of_a_copy_that_is_loaded_again_before_it_is_there() -> None:
    """It would read a private copy of the backbone, which no ledger counts."""
    machine = Machine(prewarmed=1)
    machine.prewarmed.refill(KEY)
    dying = machine.forked[0]
    dying.loads_everything()
    dying.on_message(Prepared(), [])
    machine.prewarmed.drop(KEY)
    machine.copies[KEY] = Resident(SharedWeightsHandle())
    dying.on_exit(-9)
    assert machine.forked == [dying]
    machine.copies[KEY].weights_handle = SharedWeightsHandle(fd=8)
    machine.prewarmed.refill(KEY)
    told = [fds for told, fds in machine.forked[1].channel.sent if isinstance(told, LoadArtifact)]
    assert told == [[], [8], []]


def test_they_prepare_shapes_only_while_no_instance_works_on_their_device() -> None:
    machine = Machine(prewarmed=2)
    machine.prewarmed.refill(KEY)
    first = machine.forked[0]
    machine.prewarmed.device_work(DeviceWork("cuda:1", busy=True))
    machine.prewarmed.device_work(DeviceWork("cuda:0", busy=True))
    assert first.channel.sent[-1][0] == AllowPreparation(False)
    assert len([told for told, _ in first.channel.sent if isinstance(told, AllowPreparation)]) == 1
    first.loads_everything()
    (_, patience_over), *_ = machine.waiting
    patience_over()
    told = [message for message, _ in machine.forked[1].channel.sent]
    assert AllowPreparation(False) in told, "it was made while an instance worked"
    machine.prewarmed.device_work(DeviceWork("cuda:0", busy=False))
    assert [each.channel.sent[-1][0] for each in machine.forked] == [AllowPreparation(True)] * 2


def test_none_is_made_once_the_copy_is_dropped_or_the_node_closed() -> None:
    for end in ("drop", "close"):
        machine = Machine(prewarmed=2)
        machine.prewarmed.refill(KEY)
        machine.prewarmed.device_work(DeviceWork("cuda:0", busy=True))
        machine.forked[0].loads_everything()
        if end == "drop":
            machine.prewarmed.drop(KEY)
        else:
            machine.prewarmed.close()
        machine.waiting[0][1]()
        machine.prewarmed.device_work(DeviceWork("cuda:0", busy=False))
        assert len(machine.forked) == 1, end


def test_their_memory_is_that_of_the_copy_that_they_map() -> None:
    with_two, without = Machine(prewarmed=2).plan.cluster, Machine(prewarmed=0).plan.cluster
    groups = with_two.groups.values()
    at_rest = max(group.context_bytes + group.adapter_bytes for group in groups)
    slot = max(group.kv_slot_bytes for group in groups)
    assert with_two.backbones["tiny"].pool_bytes == 2 * at_rest + slot
    assert without.backbones["tiny"].pool_bytes == 0
    weights = with_two.backbones["tiny"].bytes
    for device in ("cuda:0", "cuda:1"):
        assert with_two.copy_bytes(CopyKey("tiny", device)) == weights + 2 * at_rest + slot
    assert with_two.copy_bytes(CopyKey("tiny", "cuda:0", instance=0)) == weights
    assert with_two.settings.template_bytes == 0


def test_a_device_must_have_room_for_a_loader_that_stands_by() -> None:
    deployment, cluster = Machine(prewarmed=2).deployment, Machine(prewarmed=2).plan.cluster
    group = cluster.groups["f0"]
    beside = group.context_bytes + group.adapter_bytes + group.kv_bytes(512)
    need = cluster.copy_bytes(KEY) + beside + (32 << 30) - cluster.devices["cuda:0"].memory_bytes

    def two_devices_of(nbytes: int) -> Deployment:
        devices = tuple(Device(name=f"cuda:{i}", memory_bytes=nbytes) for i in range(2))
        return deployment.model_copy(update={"devices": devices})

    standby = make_plan(two_devices_of(32 << 30), forks=True).cluster.settings.standby_bytes
    assert standby == 464 << 20
    make_plan(two_devices_of(need + standby), forks=True)
    with pytest.raises(DeploymentError, match="cannot hold"):
        make_plan(two_devices_of(need + standby - 1), forks=True)
