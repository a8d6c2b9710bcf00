"""What the indices of a state must contain, found by a search of all of it."""

from __future__ import annotations

from systems.serverless.core.cluster_spec import GroupSpec
from systems.serverless.core.instance import Phase
from systems.serverless.core.state import State


def check(state: State) -> None:
    """Assert that every index of ``state`` has what a search finds."""
    assert state.device_ids == list(state.devices)
    for backbone, homes in state.homes.items():
        shared = [c for k, c in state.copies.items() if k.shared and k.backbone == backbone]
        assert homes == {copy.key.device: copy for copy in shared}
        assert state.home_ids[backbone] == list(homes)
        prewarmed = state.prewarmed[backbone]
        assert set(prewarmed) <= {device for device, copy in homes.items() if copy.loaded}
        assert all(prewarmed.values())
    for group in state.cluster.groups.values():
        _check_members(group, state)
        if group.places:
            _check_adapters(group, state)


def _check_members(group: GroupSpec, state: State) -> None:
    members = state.members(group.id)
    mine = {id_: i for id_, i in state.instances.items() if i.group.id == group.id}
    there = [(device, i.id) for device in state.devices.values() for i in mine.values()]
    assert members.all == mine
    assert members.serving == {id_: i for id_, i in mine.items() if i.serving}
    assert members.wakeable == {id_: i for id_, i in mine.items() if i.wakeable}
    for index, phase in (
        (members.ready, Phase.READY),
        (members.starting, Phase.STARTING),
        (members.offloading, Phase.OFFLOADING),
    ):
        assert index == {id_: i for id_, i in mine.items() if i.phase is phase}
    assert set(members.waiting) == {i for d, i in there if i in d.waiting or i in d.starved}
    assert set(members.on_device) == {i.device for i in mine.values()}
    idle = {id_: i for id_, i in mine.items() if i.idle}
    assert {id_ for id_, i in idle.items() if not i.timer_set} <= set(members.untimed) <= set(mine)
    pressed = any(i in d.instances and (d.blocked or d.starved) for d, i in there)
    assert state.pressed(group.id) == pressed


def _check_adapters(group: GroupSpec, state: State) -> None:
    index, queue = state.adapters(group.id), state.queue(group.id)
    ready = state.members(group.id).ready
    held = {id_: {*instance.places, *index.without} for id_, instance in ready.items()}
    spare = {
        id_: instance.room - sum(queue.of(function) for function in held[id_])
        for id_, instance in ready.items()
    }
    assert index.spare == spare
    assert set(index.free) == {id_ for id_, room in spare.items() if room > 0}
    holders = {
        function: [id_ for id_, functions in held.items() if function in functions]
        for function in queue.of_function
    }
    assert set(index.missing) == {function for function, found in holders.items() if not found}
    assert set(index.crowded) == {
        function
        for function, found in holders.items()
        if found and all(spare[id_] < 0 for id_ in found)
    }
