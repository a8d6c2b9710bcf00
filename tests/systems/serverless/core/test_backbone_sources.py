"""A backbone is read once a host; its further copies there come from other devices, and placement
knows that they are cheap. A whole loading takes 400 ns, a copy from another device 40."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from systems.serverless.core import actions as act
from systems.serverless.core import events as ev
from systems.serverless.core.artifacts import Artifact, CopyKey
from systems.serverless.core.backbone_sources import load_ns, reload_ns, source_of
from systems.serverless.core.cluster_spec import HOST

from .machine import PRIVATE, SHARING, Machine, cluster

ON = [CopyKey("b0", f"cpu:{n}") for n in range(4)]


def machine_of(devices: int = 3, **more: Any) -> Machine:
    """Return a machine whose devices have room for one instance each, and a ready template."""
    spec = cluster(functions=4, devices=devices, memory=145, **{"peers": True, **more})
    machine = Machine(spec, SHARING)
    machine.arrive("f0")
    machine.template_ready()
    return machine


def test_a_host_reads_a_backbone_once() -> None:
    machine = machine_of()
    for function in ("f1", "f2"):
        machine.arrive(function)
    assert set(machine.sources) == {ON[1], ON[2]}
    assert set(machine.copies) == set(ON[:3])


@pytest.mark.parametrize("why", [{"peers": False}, {"apart": True}])
def test_without_peer_copies_or_on_another_host_it_is_read_again(why: dict[str, bool]) -> None:
    machine = machine_of(**why)
    machine.arrive("f1")
    for host in sorted(machine.templates):
        if machine.templates[host] == "starting":
            machine.template_ready(host)
    assert len(machine.copies) == 2
    assert machine.sources == {}


def test_private_copies_are_no_source() -> None:
    spec = cluster(functions=2, devices=2, memory=145, peers=True)
    machine = Machine(spec, PRIVATE)
    machine.arrive("f0")
    machine.settle()
    key = CopyKey("b0", "cpu:1", instance=7)
    assert source_of(key, machine.controller.state) is None
    assert source_of(ON[1], machine.controller.state) is None


def test_devices_that_ask_at_once_are_served_by_a_tree() -> None:
    machine = machine_of(devices=4)
    for function in ("f1", "f2", "f3"):
        machine.arrive(function)
    assert machine.sources == {ON[1]: ON[0], ON[2]: ON[1], ON[3]: ON[0]}


def test_of_copies_that_are_there_the_one_that_fewest_copy_is_the_source() -> None:
    machine = machine_of(devices=4)
    machine.arrive("f1")
    machine.backbone_loads(ON[0])
    machine.backbone_loads(ON[1])
    state = machine.controller.state
    machine.arrive("f2")
    assert machine.sources[ON[2]] == ON[0]
    assert source_of(ON[3], state) is state.copies[ON[1]]


def test_how_long_a_copy_takes_is_known_before_and_while_it_is_made() -> None:
    machine = machine_of()
    machine.arrive("f1")
    state, learnt = machine.controller.state, machine.controller.state.estimates("f0")

    def left(key: CopyKey) -> float:
        return load_ns(key, learnt, state, machine.now)

    assert [left(key) for key in ON[:3]] == [400, 440, 480]
    machine.now += 300
    assert [left(key) for key in ON[:2]] == [100, 140]
    machine.backbone_loads(ON[0])
    machine.now += 30
    assert [left(key) for key in ON[:3]] == [0, 10, 50], "from the second, which none copies"
    assert reload_ns(ON[0], learnt, state, machine.now) == 10 + 40, "from the second, if dropped"


def test_each_way_of_loading_is_learnt_from_its_own_observations() -> None:
    machine = machine_of()
    machine.arrive("f1")
    machine.now += 500
    machine.backbone_loads(ON[0])
    machine.now += 60
    machine.backbone_loads(ON[1])
    state = machine.controller.state
    assert state.estimates("f0").delay_ns[Artifact.BACKBONE] == pytest.approx(0.9 * 400 + 0.1 * 500)
    assert state.estimates("f0").peer_ns == 40
    assert state.estimates("f1").peer_ns == pytest.approx(0.9 * 40 + 0.1 * 60)
    assert state.estimates("f1").delay_ns[Artifact.BACKBONE] == 400


def test_a_second_device_is_used_sooner_if_the_backbone_is_near() -> None:
    """A request takes 200 ns alone; beside another it takes 100 more."""

    def home_of_second(*, peers: bool) -> str:
        spec = cluster(functions=2, devices=2, peers=peers)
        machine = Machine(spec, SHARING)
        machine.arrive("f0")
        machine.settle()
        learnt = machine.controller.state.estimates("f0").service
        for _ in range(100):
            learnt.observe(200)
        machine.arrive("f0")
        machine.arrive("f1")
        return list(machine.processes.values())[-1].device

    assert home_of_second(peers=False) == "cpu:0"
    assert home_of_second(peers=True) == "cpu:1"


def test_what_should_be_copied_from_a_copy_that_failed_is_read() -> None:
    machine = machine_of()
    machine.arrive("f1")
    state = machine.controller.state
    assert state.copies[ON[1]].source == ON[0]
    machine.post(ev.BackboneFailed(ON[0], machine.asked[ON[0]][-1], "no memory"))
    assert state.copies[ON[1]].source is None
    assert load_ns(ON[1], state.estimates("f1"), state, machine.now) == 400


def test_a_loader_that_stands_by_counts_on_every_device_of_a_host_with_a_template() -> None:
    spec = cluster(functions=2, devices=3, peers=True)
    spec = replace(spec, settings=replace(spec.settings, standby_bytes=7))
    machine = Machine(spec, SHARING)
    devices = machine.controller.state.devices.values()
    assert [device.memory.used for device in devices] == [0, 0, 0]
    machine.arrive("f0")
    assert [device.memory.used for device in devices][1:] == [7, 7]
    machine.template_ready()
    machine.template_dies("host")
    machine.settle()
    used = [device.memory.used for device in devices]
    assert used[1:] == [7, 7], "a new template, and its loaders, for the request that waits"


def test_what_loaders_that_stand_by_need_is_nobody_elses_while_a_host_has_no_template() -> None:
    """Otherwise the next template is started on a device that is full, and nothing is decided."""
    spec = cluster(functions=2, backbones=2, devices=2, memory=170)
    spec = replace(spec, settings=replace(spec.settings, standby_bytes=8))
    machine = Machine(spec, SHARING)
    for function in ("f0", "f1"):
        machine.arrive(function)
        machine.settle()
    state, handle = machine.controller.state, machine.controller.handle
    handle(ev.TemplateDied("killed"), machine.now)
    first, *_ = (machine.arrive("f1", 15) for _ in range(4))
    batch = state.requests[first].batch
    assert batch is not None
    handle(ev.BatchPrefilled(1, batch, 10), machine.now + 10)
    handle(ev.TimerFired("cpu:1"), machine.now + 5_000)
    assert state.devices["cpu:1"].memory.free < 20, "no further request fits there"
    handle(ev.ProcessDied(0, "killed"), machine.now + 5_001)
    started = handle(ev.RequestArrived(9, "f0", 5, 5), machine.now + 5_002)
    assert started == [act.StartTemplate()]
    handle(ev.HostLeft(HOST, "lost"), machine.now + 6_000)
    assert not any(machine.held.values())


def test_the_action_of_a_copy_that_is_read_is_as_before() -> None:
    machine = machine_of(peers=False)
    assert not any(isinstance(each, act.CopyBackbone) for each in machine.post(ev.Deployed()))
