"""What harness and load workers on other hosts take from each other: every message, malformed, out
of order, foreign; and whose requests a load worker may tell of."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.replay.hosts.messages import (
    Bye,
    Data,
    Ended,
    FromHarness,
    FromWorker,
    Open,
    Piece,
    Share,
    Shut,
    Stop,
    WorkerHello,
)
from harness.replay.hosts.parts import take_part
from harness.replay.hosts.session import LoadSession
from harness.replay.hosts.worker import LoadWorker
from harness.replay.plan import Plan
from harness.replay.records import PartWriter, Record
from systems.runtime.links.message import Message, Ping, Pong
from tests.systems.runtime.links.receivers import (
    Wire,
    kinds,
    refuses_what_is_out_of_order,
    refuses_what_is_wrong,
)

OF_A_WORKER: dict[type[Message], Message] = {
    type(message): message
    for message in (
        WorkerHello("its own clock"),
        Pong(0, 5),
        Open(1),
        Data(1, b"bytes"),
        Shut(1),
        Piece("client-1.arrows", b"rows", last=False),
        Ended(0),
    )
}
CARRIED = {Data, Shut}


@pytest.fixture(autouse=True)
def running() -> Iterator[None]:
    """Receivers set timers, so there is a loop; it never runs."""
    loop = asyncio.new_event_loop()
    asyncio.events._set_running_loop(loop)
    yield
    asyncio.events._set_running_loop(None)
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def plan(folder: Path, workers: int = 2) -> Plan:
    schedule = folder / "schedule.parquet"
    schedule.write_bytes(b"")
    return Plan(
        schedule=schedule,
        base_url="http://127.0.0.1:1",
        out_dir=folder,
        workers=workers,
        worker=1,
        timeout_s=1,
        lead_s=1,
    )


class Harness:
    """Sessions of load hosts, each over its own wire, and the lines reported about them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.sessions: list[LoadSession] = []

    def stranger(self) -> Wire:
        return self._begin()[1]

    def there(self) -> Wire:
        return self._there()[1]

    def sharing(self) -> Wire:
        session, wire = self._there()
        drive(session.give(plan(self.folder), lambda: None))
        wire.say(Open(1))
        return wire

    def _begin(self) -> tuple[LoadSession, Wire]:
        session = LoadSession(self.sessions, self.told.append)
        return session, Wire(session.link)

    def _there(self) -> tuple[LoadSession, Wire]:
        session, wire = self._begin()
        wire.say(OF_A_WORKER[WorkerHello])
        for _ in range(8):
            wire.say(Pong(wire.heard[-1]["asked_ns"], 5))
        assert session in self.sessions
        return session, wire


def drive(work: Any) -> None:
    """What waits for nothing, to its end."""
    with pytest.raises(StopIteration):
        work.send(None)


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


STAGES: list[tuple[Callable[[Harness], Wire], set[type[Message]]]] = [
    (Harness.stranger, {WorkerHello}),
    (Harness.there, {Pong, *CARRIED}),
    (Harness.sharing, {Pong, Open, Piece, Ended, *CARRIED}),
]


def test_every_message_of_a_load_worker_is_tried() -> None:
    assert set(OF_A_WORKER) == kinds(FromWorker)
    assert set().union(*(expected for _, expected in STAGES)) == kinds(FromWorker)


@pytest.mark.parametrize(("stage", "expected"), STAGES)
def test_a_load_worker_says_what_its_stage_allows(
    harness: Harness, stage: Any, expected: set[type[Message]]
) -> None:
    refuses_what_is_out_of_order(lambda: stage(harness), OF_A_WORKER, expected)


def test_what_is_almost_a_message_of_a_load_worker_ends_it(harness: Harness) -> None:
    refuses_what_is_wrong(harness.stranger, OF_A_WORKER[WorkerHello])
    for message in (Open(2), Data(1, b"x"), Shut(1), Ended(0), OF_A_WORKER[Piece]):
        refuses_what_is_wrong(harness.sharing, message)


FOREIGN = [
    Open(1),
    Open(7),
    Data(2, b"of another"),
    Shut(2),
    Pong(1, 5),
    Piece("schedule.parquet", b"", last=True),
    Piece("..", b"", last=True),
    Piece("client-0.arrows", b"", last=True),
    Piece("client-2.arrows", b"", last=True),
    Data(1, b"x" * ((1 << 20) + 1)),
    Piece("client-1.arrows", b"x" * ((1 << 20) + 1), last=True),
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda message: type(message).__name__)
def test_what_is_not_its_own_ends_the_load_worker_and_is_named(
    harness: Harness, foreign: Message
) -> None:
    wire = harness.sharing()
    wire.say(foreign)
    assert wire.gone
    assert not harness.sessions
    (line,) = harness.told
    assert line.startswith("192.0.2.7 was lost: it does not keep to the protocol: ")
    assert not list(harness.folder.glob("client-*"))


def test_one_load_worker_has_one_file_and_it_ends_once(harness: Harness) -> None:
    wire = harness.sharing()
    wire.say(Piece("client-1.arrows", b"", last=True))
    assert not wire.gone
    wire.say(Piece("client-1.arrows", b"", last=True))
    assert "was not requested" in wire.link._why
    wire = harness.sharing()
    wire.say(Ended(0))
    assert not wire.gone
    wire.say(Ended(0))
    assert "may not say Ended now" in wire.link._why


def test_connections_have_a_limit(harness: Harness) -> None:
    wire = harness.sharing()
    for number in itertools.count(2):
        wire.say(Open(number))
        if wire.gone:
            break
        assert number < 100
    assert "cannot be opened" in wire.link._why


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=64))
def test_bytes_of_a_load_worker_reach_nothing(harness: Harness, content: bytes) -> None:
    wire = harness.there()
    wire.say_raw(content)
    assert wire.gone


# -- whose requests -----------------------------------------------------------------------------


def recorded(folder: Path, worker: int, rows: list[int]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"client-{worker}.arrows"
    with PartWriter(path) as part:
        for row in rows:
            part.add(Record(row, *[None] * 8, "ok", *[None] * 4, events=0))  # type: ignore[arg-type]
    return path


def test_its_own_requests_are_kept(tmp_path: Path) -> None:
    take_part(recorded(tmp_path / "there", 1, [1, 3, 5]), plan(tmp_path))
    assert (tmp_path / "client-1.arrows").exists()


def test_requests_of_another_are_not(tmp_path: Path) -> None:
    path = recorded(tmp_path / "there", 1, [1, 2])
    with pytest.raises(ValueError, match="has requests of another load worker"):
        take_part(path, plan(tmp_path))
    assert not (tmp_path / "client-1.arrows").exists()


def test_records_of_another_shape_are_refused(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    path = tmp_path / "there" / "client-1.arrows"
    table = pa.table({"row": ["one"]})
    with pa.ipc.new_stream(path, table.schema) as stream:
        stream.write_table(table)
    with pytest.raises(ValueError, match="no records of requests"):
        take_part(path, plan(tmp_path))


# -- the load worker ----------------------------------------------------------------------------


def of_the_harness(folder: Path) -> dict[type[Message], Message]:
    return {
        type(message): message
        for message in (
            Ping(5),
            Share(plan(folder)),
            Piece("schedule.parquet", b"rows", last=False),
            Data(1, b"bytes"),
            Shut(1),
            Stop(),
            Bye(),
        )
    }


def waiting(folder: Path) -> Wire:
    worker = LoadWorker(folder, lambda text: None)
    wire = Wire(worker.link)
    worker._tunnel._count = 1
    worker.link.expect(worker._between_shares())
    return wire


def given_a_share(folder: Path) -> Wire:
    wire = waiting(folder)
    wire.say(Share(plan(folder)))
    return wire


ALWAYS = {Ping, Data, Shut, Stop, Bye}


def test_every_message_of_the_harness_is_tried(tmp_path: Path) -> None:
    assert set(of_the_harness(tmp_path)) == kinds(FromHarness)


def clean(folder: Path, reach: Callable[[Path], Wire]) -> Callable[[], Wire]:
    """A folder of its own for each receiver."""
    numbers = itertools.count()

    def reached() -> Wire:
        here = folder / f"worker-{next(numbers)}"
        here.mkdir()
        return reach(here)

    return reached


@pytest.mark.parametrize(
    ("stage", "expected"), [(waiting, {*ALWAYS, Share}), (given_a_share, {*ALWAYS, Piece})]
)
def test_the_harness_says_what_the_stage_allows(
    tmp_path: Path, stage: Any, expected: set[type[Message]]
) -> None:
    reach, samples = clean(tmp_path, stage), of_the_harness(tmp_path)
    refuses_what_is_out_of_order(reach, samples, expected)
    for kind in expected - {Bye}:
        refuses_what_is_wrong(reach, samples[kind])
