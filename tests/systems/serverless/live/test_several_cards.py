"""Each process is started to see the card of its device alone. All processes are puppets, as if on
two GPUs, each with room for one instance and its warm pool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from systems.interface import Device, Limits
from systems.serverless.live import roles
from tests.deployments import tiny_deployment

from .puppets import CARDS, Puppet, Stage, play

Play = Callable[..., None]


@pytest.fixture
def on_cards(tmp_path: Path) -> Play:
    limits = Limits(max_batch_size=4, max_context_tokens=512, keep_alive_s=5)
    one = tiny_deployment(limits, ("f0", "f1", "f2"), gib=2, device="cuda:0")
    devices = tuple(Device(name=f"cuda:{n}", memory_bytes=1700 << 20) for n in range(2))
    two = one.model_copy(update={"devices": devices})

    def run(scene: Callable[[Stage], Any], **options: Any) -> None:
        play(two, tmp_path, scene, forks=True, **{"prewarmed": 1, **options})

    return run


def of_role(stage: Stage, role: Any) -> list[Puppet]:
    return [puppet for puppet in stage.puppets if puppet.role is role]


def test_every_process_sees_the_card_of_its_device_alone(on_cards: Play) -> None:
    async def scene(stage: Stage) -> None:
        first, _ = await stage.up("f0")
        second, _ = await stage.up("f1")
        homes = [live.device for live in stage.node.instances.values()]
        assert sorted(homes) == ["cuda:0", "cuda:1"]
        cards = [CARDS[int(home[-1])] for home in homes]
        assert [first.visible, second.visible] == cards
        assert [puppet.asked("configure")[0]["card"] for puppet in (first, second)] == cards
        loaders = of_role(stage, roles.LOADER)
        assert [puppet.asked("load")[0]["card"] for puppet in loaders] == cards
        assert [puppet.visible.partition(",")[0] for puppet in loaders] == cards
        assert of_role(stage, roles.TEMPLATE)[0].visible == "", "it forks for all cards"

    on_cards(scene)


def test_each_card_has_a_warm_pool_of_its_own_in_its_own_ledger(on_cards: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.up("f0")
        devices = stage.platform.controller.state.devices
        pool = stage.platform.plan.cluster.backbones["tiny"].pool_bytes
        assert devices["cuda:1"].memory.used == 0, "nothing is reserved where no copy is"
        used = devices["cuda:0"].memory.used
        await stage.up("f1")
        assert devices["cuda:1"].memory.used == used > pool > 0
        pools = stage.node._prewarmed._pool
        await stage.until(lambda: len([p for p in pools.prewarmed if p.ready]) == 2)
        there = {p.copy.device: p.child for p in pools.prewarmed}
        seen = {puppet.child: puppet.visible for puppet in stage.puppets}
        assert {device: seen[child] for device, child in there.items() if child} == {
            "cuda:0": CARDS[0], "cuda:1": CARDS[1],
        }  # fmt: skip

    on_cards(scene)
