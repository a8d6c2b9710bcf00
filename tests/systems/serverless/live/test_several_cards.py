"""Each process is started to see the card of its device alone. All processes are puppets, as if on
two GPUs, each with room for one instance and its warm pool."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from systems.interface import Device, Limits
from systems.runtime import liveness
from systems.serverless.live import roles
from tests.deployments import tiny_deployment

from .puppets import CARDS, Puppet, Stage, play

Play = Callable[..., None]


@pytest.fixture
def on_cards(tmp_path: Path) -> Play:
    limits = Limits(max_batch_size=4, max_context_tokens=512, keep_alive_s=5)
    one = tiny_deployment(limits, ("f0", "f1", "f2"), gib=2, device="cuda:0")

    def run(scene: Callable[[Stage], Any], mib: int = 1900, **options: Any) -> None:
        devices = tuple(Device(name=f"cuda:{n}", memory_bytes=mib << 20) for n in range(2))
        two = one.model_copy(update={"devices": devices})
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
        loaders = {puppet.asked("load")[0]["card"]: puppet.visible for puppet in loads(stage)}
        assert loaders == {
            CARDS[0]: f"{CARDS[0]},{CARDS[1]}", CARDS[1]: f"{CARDS[1]},{CARDS[0]}",
        }, "to copy from card to card"  # fmt: skip
        assert of_role(stage, roles.TEMPLATE)[0].visible == "", "it forks for all cards"

    on_cards(scene)


def test_each_card_has_a_warm_pool_of_its_own_in_its_own_ledger(on_cards: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.up("f0")
        devices = stage.platform.controller.state.devices
        pool = stage.platform.plan.cluster.backbones["tiny"].pool_bytes
        bare = stage.platform.plan.options.cuda_bare_bytes
        assert devices["cuda:1"].memory.used == bare, "only the loader that stands by"
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


def loads(stage: Stage) -> list[Puppet]:
    """The loaders that were told what to load."""
    return [puppet for puppet in of_role(stage, roles.LOADER) if puppet.asked("load")]


def test_a_loader_stands_by_on_each_card_and_the_next_when_it_has_ended(on_cards: Play) -> None:
    async def scene(stage: Stage) -> None:
        standby = stage.node._shared.standby
        await stage.until(lambda: standby._ready == set(CARDS[:2]))
        there = standby.children
        await stage.up("f0")
        (used,) = loads(stage)
        assert used.child in there
        assert len(standby.children) == 1, "its context is there until it has ended"
        used.dies()
        await stage.until(lambda: standby._ready == set(CARDS[:2]))
        devices = stage.platform.controller.state.devices
        bare = stage.platform.plan.options.cuda_bare_bytes
        assert devices["cuda:1"].memory.used == bare

    on_cards(scene, template_at_deployment=True)


def test_the_second_card_copies_from_the_first_once_that_is_loaded(on_cards: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.until(lambda: len(stage.node._shared.standby._ready) == 2)
        for puppet in of_role(stage, roles.LOADER):
            puppet.does.discard("load")
        stage.call("f0")
        await stage.until(lambda: loads(stage))
        stage.call("f1")
        await stage.all_heard()
        (first,) = loads(stage)
        assert len(stage.node.copies) == 2, "the second waits for the first"
        first.says("loaded", fds=[first.sock.fileno()])
        await stage.until(lambda: len(loads(stage)) == 2)
        (second,) = (puppet for puppet in loads(stage) if puppet is not first)
        assert [first.fds, second.fds] == [0, 1], "the copy of the first card"

    on_cards(scene, template_at_deployment=True)


@pytest.mark.parametrize("lost", ["failed", "dies"])
def test_if_the_first_card_fails_the_second_reads_the_checkpoint(on_cards: Play, lost: str) -> None:
    async def scene(stage: Stage) -> None:
        await stage.until(lambda: len(stage.node._shared.standby._ready) == 2)
        for puppet in of_role(stage, roles.LOADER):
            puppet.does.discard("load")
        stage.call("f0")
        await stage.until(lambda: loads(stage))
        stage.call("f1")
        await stage.all_heard()
        (first,) = loads(stage)
        first.dies() if lost == "dies" else first.says("failed", reason="no memory")
        first.dies()
        card = first.visible[: len(CARDS[0])]
        await stage.until(lambda: [p for p in loads(stage) if not p.visible.startswith(card)])
        assert [p.fds for p in loads(stage) if not p.visible.startswith(card)] == [0]

    on_cards(scene, template_at_deployment=True)


def test_a_loader_that_cannot_stand_by_is_told_and_done_without(on_cards: Play) -> None:
    async def scene(stage: Stage) -> None:
        standby = stage.node._shared.standby
        await stage.until(lambda: len(standby._ready) == 2)
        lost = of_role(stage, roles.LOADER)[0]
        lost.says("failed", reason="this process was given another GPU")
        lost.dies()
        await stage.until(lambda: len(standby.children) == 1)
        await stage.up("f0")
        await stage.up("f1")
        assert lost not in loads(stage)
        journal = (stage.folder / "journal").read_text()
        assert "no loader stands by on GPU-" in journal

    on_cards(scene, template_at_deployment=True)


@contextmanager
def no_new_process() -> Iterator[None]:
    """Let this process open nothing more: no process can be started."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_loader_that_cannot_be_started_is_told_and_tried_again(on_cards: Play) -> None:
    async def scene(stage: Stage) -> None:
        standby = stage.node._shared.standby
        await stage.until(lambda: standby._ready == set(CARDS[:2]))
        await stage.up("f0")
        (used,) = loads(stage)
        with no_new_process():
            used.dies()
            await stage.until(lambda: used.child.ended)
        card = used.visible[: len(CARDS[0])]
        journal = (stage.folder / "journal").read_text()
        assert f"no loader stands by on {card}: [Errno 24] Too many open files" in journal
        assert standby._ready == set(CARDS[:2]) - {card}
        standby.fill()
        await stage.until(lambda: standby._ready == set(CARDS[:2]))

    on_cards(scene, template_at_deployment=True)


def test_a_loader_that_is_silent_before_it_stands_by_is_ended_and_one_that_stands_by_is_not(
    on_cards: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "EVERY_S", 0.1)

    async def scene(stage: Stage) -> None:
        await stage.until(lambda: len(of_role(stage, roles.LOADER)) == 2)
        silent, other = of_role(stage, roles.LOADER)
        silent.does.discard("standby")
        await stage.until(lambda: silent.asked("standby") and other.asked("standby"))
        assert not stage.node.settled
        await stage.until(lambda: stage.node.settled)
        card = silent.visible[: len(CARDS[0])]
        journal = (stage.folder / "journal").read_text()
        assert f"no loader stands by on {card}: silent for 0.5 s" in journal
        rounds_s = 2 * liveness.EVERY_S * liveness.SILENT_ROUNDS
        later = asyncio.get_running_loop().time() + rounds_s
        await stage.until(lambda: asyncio.get_running_loop().time() > later)
        assert stage.node._shared.standby.children == [other.child]

    on_cards(scene, template_at_deployment=True)


def test_without_peer_copies_each_card_reads_files_that_stay_cached(on_cards: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.up("f0")
        await stage.up("f1")
        assert not stage.node._shared.standby.children
        assert [puppet.fds for puppet in loads(stage)] == [0, 0]
        assert sorted(puppet.visible for puppet in loads(stage)) == list(CARDS[:2])
        assert all(puppet.asked("load")[0]["keep_cached"] for puppet in loads(stage))

    on_cards(scene, mib=1700, peer_copies=False)
