"""Processes on the cards of their devices, by the cards' UUIDs and by the driver's memory; copies
of a backbone from card to card. Two cards are needed where a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from systems.engine.cuda import context
from systems.interface import Device, Limits
from systems.models import ensure_backbone
from systems.registry import system_class
from systems.runtime.cards import Cards, handles
from systems.runtime.processes import Processes
from systems.serverless.live import roles
from tests.deployments import tiny_deployment

from .loaders import Loader, close, used_at_rest, used_bytes
from .test_cuda_store import SIZE, Start, made, start  # noqa: F401 - a fixture
from .test_shared_on_card import ask

Scene = Callable[[Processes, Cards], Coroutine[Any, Any, None]]
ELSEWHERE = "GPU-00000000-0000-0000-0000-000000000001"


def play(scene: Scene, cards: int = 1) -> None:
    """Run ``scene`` with the first ``cards`` GPUs; skip it if there are fewer."""
    if len(handles()) < cards:
        pytest.skip(f"needs {cards} cards")

    async def run() -> None:
        processes = Processes("cuda", roles.TEMPLATE)
        await scene(processes, Cards.here([f"cuda:{n}" for n in range(cards)]))

    asyncio.run(run())


def test_a_copy_of_a_copy_has_the_same_bytes(start: Start) -> None:  # noqa: F811
    import socket

    owner, checksum, fd = made(start)
    copier = start("copier")
    socket.send_fds(copier, [b"copy"], [fd])
    found, took_ms = copier.recv(64).split()
    assert int(found) == checksum
    print(f"copied {SIZE >> 20} MiB on one card in {took_ms.decode()} ms")
    owner.send(b"x")


def test_a_loader_that_stands_by_copies_from_a_copy_or_reads() -> None:
    async def scene(processes: Processes, cards: Cards) -> None:
        card, tiny = cards.uuid("cuda:0"), ensure_backbone("tiny")
        first, second = Loader(processes, card), Loader(processes, card)
        for each in (first, second):
            await each.stands_by(card, tiny)
        read, fd, _ = await first.fills(tiny, "float32", card)
        copied, other, took_s = await second.fills(tiny, "float32", card, [fd])
        print(f"a loader that stood by answered in {1e3 * took_s:.1f} ms")
        assert read.sum is not None
        assert copied.sum is not None
        assert copied.sum.checksum == read.sum.checksum
        assert copied.problem == ""
        close(fd, other)

    play(scene)


def test_what_cannot_be_mapped_is_read_and_told() -> None:
    async def scene(processes: Processes, cards: Cards) -> None:
        card, tiny = cards.uuid("cuda:0"), ensure_backbone("tiny")
        loader, good = Loader(processes, card), Loader(processes, card)
        with open("/dev/null") as no_memory:
            found, fd, _ = await loader.fills(tiny, "float32", card, [no_memory.fileno()])
        read, other, _ = await good.fills(tiny, "float32", card)
        assert found.problem
        assert found.sum is not None
        assert read.sum is not None
        assert found.sum.checksum == read.sum.checksum
        close(fd, other)

    play(scene)


def test_a_process_on_another_card_is_caught_before_it_takes_memory() -> None:
    async def scene(processes: Processes, cards: Cards) -> None:
        loader = Loader(processes, cards.uuid("cuda:0"))
        said = await loader.fails_to_stand_by(ELSEWHERE)
        assert f"its device is {ELSEWHERE}" in said

    play(scene)


def test_the_card_of_a_device_is_told_by_its_uuid() -> None:
    context.check_card(Cards.here(["cuda:0"]).uuid("cuda:0"))


def test_a_process_takes_memory_of_its_own_card_alone() -> None:
    """Needs two cards. Also plants a loader on the wrong one: it is caught by the card's UUID; and
    by the driver's memory, had it not been told which card is right."""

    async def scene(processes: Processes, cards: Cards) -> None:
        one, other = (cards.uuid(f"cuda:{n}") for n in range(2))
        planted = Loader(processes, other)
        assert f"its device is {one}" in await planted.fails_to_stand_by(one)
        before = [used_bytes(card) for card in (one, other)]
        loader = Loader(processes, cards.all_from(other))
        await loader.stands_by(other, ensure_backbone("tiny"))
        grown = [used_bytes(card) - then for card, then in zip((one, other), before, strict=True)]
        assert grown[0] < 64 << 20 < grown[1], "a context takes hundreds of MiB"
        loader.end()

    play(scene, cards=2)


def test_a_copy_reaches_another_card_with_the_same_bytes() -> None:
    """Needs two cards."""

    async def scene(processes: Processes, cards: Cards) -> None:
        one, other = (cards.uuid(f"cuda:{n}") for n in range(2))
        model = ensure_backbone("tiny")
        first, second = Loader(processes, one), Loader(processes, cards.all_from(other))
        await first.stands_by(one, model)
        await second.stands_by(other, model)
        read, fd, _ = await first.fills(model, "float32", one)
        await first.ended()  # or the end of its context would hide a new one
        before = used_bytes(one)
        copied, there, took_s = await second.fills(model, "float32", other, [fd])
        print(f"from card to card in {1e3 * took_s:.1f} ms")
        assert copied.problem == "", "over peer access, not read"
        assert read.sum is not None
        assert copied.sum is not None
        assert copied.sum.checksum == read.sum.checksum
        assert used_bytes(one) - before < 64 << 20, "it has no context on the card it copies from"
        close(fd, there)

    play(scene, cards=2)


def test_two_functions_on_two_cards_answer_as_on_one() -> None:
    """Needs two cards, each with room for one instance. The ledger's devices are the driver's."""
    if len(handles()) < 2:
        pytest.skip("needs 2 cards")
    limits = Limits(max_batch_size=4, max_context_tokens=512, keep_alive_s=30)
    one = tiny_deployment(limits, ("f0", "f1"), gib=8, device="cuda:0")
    devices = tuple(Device(name=f"cuda:{n}", memory_bytes=1100 << 20) for n in range(2))
    cards = Cards.here(["cuda:0", "cuda:1"])
    before = {name: used_at_rest(uuid) for name, uuid in cards.uuids.items()}
    with system_class("serverless-lora")() as system:
        url = system.deploy(one).base_url
        alone = [asyncio.run(ask(url, name)) for name in ("f0", "f1")]
    with system_class("serverless-lora")() as system:
        url = system.deploy(one.model_copy(update={"devices": devices})).base_url
        assert [asyncio.run(ask(url, name)) for name in ("f0", "f1")] == alone
        held = {step.device for step in system.system_trace().memory if step.bytes}
        grown = {name: used_bytes(uuid) - before[name] for name, uuid in cards.uuids.items()}
        assert held >= {"cuda:0", "cuda:1"}
        assert all(size > 300 << 20 for size in grown.values()), grown
