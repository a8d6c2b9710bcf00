"""A replica continues requests of another one, also if they come while its slots are in use, and
leaves those that are cancelled."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest

from systems.interface import Deployment, Device, Function
from systems.models import ensure_adapters, ensure_backbone
from systems.runtime import process
from systems.runtime.messages import Cancel, Message, Request, RequestFields, Sampling, Stop
from systems.serverful.inhouse import messages as m
from systems.serverful.inhouse.backbone_deployment import make_deck
from systems.serverful.inhouse.replica import Replica
from tests.torch_threads import torch_threads

NAMES = ("f0", "f1")
MOVED, THERE = 1, 2
TOKENS = 8
STEP = None
"""In a script: no more messages before the next iteration."""
Joining = tuple[m.Join, int]
"""The message and the descriptor that is sent with it."""
Item = Message | Joining | None


class Script:
    """A replica and its channel, which says what the script says. The descriptors that the replica
    sends are kept."""

    def __init__(self, script: Sequence[Item]) -> None:
        self._script = iter(script)
        self.replica = Replica(self)  # type: ignore[arg-type]
        self.said: list[Any] = []
        self.fds: list[int] = []

    def receive(self, timeout_ms: int | None = None) -> tuple[Message, list[int]] | None:
        item = next(self._script, None)
        if isinstance(item, tuple):
            return item[0], [os.dup(item[1])]
        return item and (item, [])

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        self.said.append(message)
        self.fds += map(os.dup, fds)

    def of(self, kind: type[Message]) -> list[Any]:
        return [each for each in self.said if isinstance(each, kind)]

    def tokens(self, request: int) -> list[int]:
        return [t.id for step in self.of(m.Stepped) for t in step.tokens if t.request == request]


Run = Callable[..., Script]


@pytest.fixture(scope="module")
def configure() -> m.Configure:
    tiny = ensure_backbone("tiny")
    adapters = ensure_adapters(tiny, list(NAMES), rank=8)
    deck = make_deck(
        Deployment(
            functions=tuple(Function(id=n, backbone="tiny", adapter=adapters[n]) for n in NAMES),
            backbones={"tiny": tiny},
            devices=(Device(name="cpu:0", memory_bytes=2 << 30),),
            dtype="float32",
        ),
        "tiny",
    )
    return m.Configure(
        scheme="dlora",
        device="cpu",
        model_dir=str(tiny),
        layout=deck.layout.to_json(),
        adapters={name: str(path) for name, path in adapters.items()},
        table=m.TableShape(deck.rank, tuple(sorted(deck.targets)), len(NAMES)),
        threads=1,
        slots=1,
        max_context_tokens=128,
    )


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a replica through a script, and sees that it leaves no descriptor open."""
    monkeypatch.setattr(process, "import_libraries", lambda device: None)
    kept: list[int] = []

    def run(*script: Item) -> Script:
        channel = Script(script)
        before = os.listdir("/proc/self/fd")
        assert channel.replica.run() == 0
        kept.extend(channel.fds)
        assert len(os.listdir("/proc/self/fd")) == len(before) + len(channel.fds)
        return channel

    with torch_threads(1):
        yield run
    for fd in kept:
        os.close(fd)


def fields(request: int) -> RequestFields:
    sampling = Sampling(temperature=1.0, seed=request, ignore_eos=True)
    return RequestFields(request, tuple(range(10, 30)), TOKENS, sampling, NAMES[request % 2])


@pytest.fixture
def alone(configure: m.Configure, ran: Run) -> list[int]:
    """The tokens of the request that stays where it is."""
    return ran(configure, Request(fields(MOVED)), *[STEP] * TOKENS, Stop()).tokens(MOVED)


@pytest.fixture
def join(configure: m.Configure, ran: Run) -> Joining:
    """The request after two tokens, as its first replica returns it."""
    source = ran(configure, Request(fields(MOVED)), STEP, STEP, m.Release(MOVED), Stop())
    (released,) = source.of(m.Released)
    return m.Join(fields(MOVED), released.state), source.fds[0]


@pytest.mark.parametrize(
    ("slots", "before"),
    [
        (1, []),
        (1, [Request(fields(THERE)), STEP]),
        (2, [Request(fields(THERE)), STEP]),
        (2, [Request(fields(THERE))]),
    ],
    ids=["idle", "all slots in use", "one free", "beside a prompt"],
)
def test_a_request_from_another_replica_goes_on_where_it_stopped(
    slots: int,
    before: list[Item],
    configure: m.Configure,
    alone: list[int],
    join: Joining,
    ran: Run,
) -> None:
    roomy = msgspec.structs.replace(configure, slots=slots)
    target = ran(roomy, *before, join, *[STEP] * 2 * TOKENS, Stop())
    assert target.of(m.Joined) == [m.Joined(MOVED)]
    assert target.tokens(MOVED) == alone[2:]
    assert len(target.tokens(THERE)) == (TOKENS if before else 0)


def test_one_that_waits_is_released_as_it_came(
    configure: m.Configure, join: Joining, ran: Run
) -> None:
    asked = Request(fields(THERE)), STEP, join, STEP, m.Release(MOVED), *[STEP] * TOKENS
    target = ran(configure, *asked, Stop())
    message, fd = join
    assert target.of(m.Released) == [m.Released(MOVED, there=True, state=message.state)]
    size = os.fstat(fd).st_size
    assert os.pread(target.fds[0], size + 1, 0) == os.pread(fd, size, 0)
    assert len(target.tokens(THERE)) == TOKENS
    assert target.tokens(MOVED) == []


def test_one_that_runs_is_cancelled_and_leaves_its_slot(configure: m.Configure, ran: Run) -> None:
    asked = Request(fields(MOVED)), STEP, STEP, Request(fields(THERE)), Cancel(MOVED)
    target = ran(configure, *asked, *[STEP] * TOKENS, Stop())
    assert len(target.tokens(MOVED)) == 2
    assert len(target.tokens(THERE)) == TOKENS


def test_one_that_has_not_started_is_cancelled(configure: m.Configure, ran: Run) -> None:
    asked = Request(fields(MOVED)), STEP, Request(fields(THERE)), STEP, Cancel(THERE)
    target = ran(configure, *asked, *[STEP] * 2 * TOKENS, Stop())
    assert len(target.tokens(MOVED)) == TOKENS
    assert target.tokens(THERE) == []


def test_one_that_waits_is_cancelled(configure: m.Configure, join: Joining, ran: Run) -> None:
    asked = Request(fields(THERE)), STEP, join, STEP, Cancel(MOVED), *[STEP] * 2 * TOKENS
    target = ran(configure, *asked, m.Release(MOVED), Stop())
    assert target.of(m.Released) == [m.Released(MOVED, there=False)]
    assert target.replica._snapshots == {}
    assert len(target.tokens(THERE)) == TOKENS
    assert target.tokens(MOVED) == []
