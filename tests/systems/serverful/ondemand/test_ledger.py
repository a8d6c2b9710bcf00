"""What servers hold and use, as it is billed: on cards whose driver lists processes or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from systems.errors import DeploymentError
from systems.interface import MemoryOwner
from systems.runtime import journal
from systems.runtime.journal import Journal
from systems.serverful.ondemand.config import Config, OnDemandServer
from systems.serverful.ondemand.ledger import Ledger
from systems.serverful.ondemand.meter import Meter
from systems.serverful.ondemand.room import Room, check_host

GIB = 2**30


class Card:
    """A card that has grown by what the test says, and whose driver lists no processes."""

    bytes = 0

    def listed(self, pids: frozenset[int]) -> None:
        return None

    def grown(self) -> int:
        return self.bytes


class ListingCard:
    """A card whose driver lists ``used``: bytes by process."""

    def __init__(self, used: dict[int, int]) -> None:
        self.used = used

    def listed(self, pids: frozenset[int]) -> int | None:
        mine = [self.used[pid] for pid in pids if pid in self.used]
        return sum(mine) if mine else None

    def grown(self) -> int:
        return sum(self.used.values())


def server(name: str) -> OnDemandServer:
    return OnDemandServer(
        name=name, command=("x",), environment={}, base_url="http://x", models=(name,),
        function_id=name, weights_bytes=5 * GIB,
    )  # fmt: skip


def config(*, sleeps: bool) -> Config:
    return Config(
        servers=(server("a"), server("b")), host="127.0.0.1", port=1, device="cuda:0",
        sleeps=sleeps, start="deployment", slots=2, turn_s=1, keep_alive_s=1, request_timeout_s=1,
        start_timeout_s=1, sleep_timeout_s=1,
    )  # fmt: skip


Held = Callable[[], dict[tuple[str, str | None], list[float]]]


@pytest.fixture
def held(tmp_path: Path) -> Held:
    """Return what was written: by device and function, in GiB."""

    def read() -> dict[tuple[str, str | None], list[float]]:
        found: dict[tuple[str, str | None], list[float]] = {}
        for step in journal.read(tmp_path / "j").memory:
            assert (step.device == "host") == (step.owner is MemoryOwner.HOST_TIER)
            found.setdefault((step.device, step.function_id), []).append(step.bytes / GIB)
        return found

    return read


def test_a_difference_is_of_the_server_that_changed(tmp_path: Path, held: Held) -> None:
    card = Card()
    ledger = Ledger(config(sleeps=True), card, Journal(tmp_path / "j"))
    a, b = server("a"), server("b")
    for change, whose, total in (
        (ledger.awake, a, 20), (ledger.asleep, a, 2), (ledger.awake, b, 23), (ledger.asleep, b, 4),
        (ledger.wakes, a, 4), (ledger.awake, a, 22), (ledger.ended, b, 22),
    ):  # fmt: skip
        card.bytes = total * GIB
        change(whose)
    assert held() == {
        ("cuda:0", "a"): [20, 2, 20],
        ("host", "a"): [5],
        ("cuda:0", "b"): [21, 2, 0],
        ("host", "b"): [5, 0],
    }


def test_servers_that_start_together_share_what_the_card_grew_by(
    tmp_path: Path, held: Held
) -> None:
    card = Card()
    ledger = Ledger(config(sleeps=True), card, Journal(tmp_path / "j"))
    card.bytes = 40 * GIB
    ledger.awake(server("a"), server("b"))
    for name, total in (("a", 22), ("b", 4)):
        card.bytes = total * GIB
        ledger.asleep(server(name))
    assert held()["cuda:0", "a"] == held()["cuda:0", "b"] == [20, 2]


def test_servers_of_several_functions_each_add_up(tmp_path: Path, held: Held) -> None:
    alone = config(sleeps=True)
    both = [each.model_copy(update={"function_id": None}) for each in alone.servers]
    card = Card()
    ledger = Ledger(
        alone.model_copy(update={"servers": tuple(both)}), card, Journal(tmp_path / "j")
    )
    for server, total in zip(both, (20, 43), strict=True):
        card.bytes = total * GIB
        ledger.awake(server)
        ledger.asleep(server)
    assert held() == {("cuda:0", None): [20, 43], ("host", None): [5, 10]}


def test_servers_that_start_at_any_time_share_evenly(tmp_path: Path, held: Held) -> None:
    card = Card()
    ledger = Ledger(config(sleeps=False), card, Journal(tmp_path / "j"))
    card.bytes = 10 * GIB
    for name in ("a", "b"):
        ledger.runs(server(name), frozenset({1}))
        ledger.read(server(name))
    ledger.ended(server("a"))
    card.bytes = 6 * GIB
    ledger.read(server("b"))
    assert held()["cuda:0", "a"] == [10, 5, 0]
    assert held()["cuda:0", "b"] == [5, 6]


@pytest.mark.parametrize("sleeps", [False, True])
def test_a_server_without_a_context_holds_nothing_and_changes_no_other(
    sleeps: bool, tmp_path: Path, held: Held
) -> None:
    card = ListingCard({1: 14 * GIB})
    ledger = Ledger(config(sleeps=sleeps), card, Journal(tmp_path / "j"))
    for name, pid in (("a", 1), ("b", 2)):
        ledger.runs(server(name), frozenset({pid}))
        ledger.read(server(name))
    card.used[1] += GIB
    ledger.read(server("b"))
    card.used[2] = 3 * GIB
    ledger.read(server("b"))
    assert held() == {("cuda:0", "a"): [14], ("cuda:0", "b"): [0, 3]}


def test_processor_time_counts_over_processes_and_from_when_it_serves() -> None:
    meter = Meter(100, before_ns=30)
    meter.read(50)
    assert meter.total_ns == 20
    meter.restart()
    assert meter.total_ns == 20
    meter.read(7)
    assert meter.total_ns == 27


def test_a_card_has_room_for_as_many_awake_as_their_weights_leave() -> None:
    room = Room(
        8, weights_bytes=13 * GIB, card_bytes=80 * GIB, utilization=0.9, asleep_bytes=2 * GIB
    )
    slots = room.slots(None)
    assert slots == 3
    used = slots * room.share(slots) * 80 + (8 - slots) * 2
    assert used == pytest.approx(0.9 * 80, abs=0.1)
    assert room.share(slots) * 80 >= 13 + 4 > room.share(slots + 1) * 80
    assert Room(1, 13 * GIB, 80 * GIB, 0.9, 2 * GIB).share(1) == 0.9
    small, large = (room.kv_bytes(slots, weights * GIB) for weights in (7, 13))
    assert small - large == 6 * GIB, "what smaller weights leave is for keys and values"
    assert 0 < large < room.share(slots) * 80 * GIB - 13 * GIB


def test_what_does_not_fit_is_refused_in_a_line() -> None:
    room = Room(8, 13 * GIB, 80 * GIB, 0.9, 2 * GIB)
    with pytest.raises(DeploymentError, match=r"4 awake at once, do not fit .*; at most 3 may be"):
        room.slots(4)
    with pytest.raises(DeploymentError, match=r"8 sleeping servers need 128\.0 GiB of host memory"):
        check_host([13 * GIB] * 8, 120 * GIB)
    check_host([13 * GIB, 5 * GIB], 24 * GIB)
    with pytest.raises(DeploymentError, match=r"2 sleeping servers need 24\.0 GiB"):
        check_host([13 * GIB, 5 * GIB], 24 * GIB - 1)
