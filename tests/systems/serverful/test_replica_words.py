"""For any messages of a replica in any order, at most its server ends, with a one-line reason."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from systems.interface import Deployment, Device, Function
from systems.models import ensure_adapters, ensure_backbone
from systems.runtime import channel as wire
from systems.runtime.messages import Sampling
from systems.serverful.inhouse.front import Front
from systems.serverful.inhouse.messages import REPLICA_SAYS, Joined, Released
from systems.serverful.inhouse.placement import Costs, Placement
from systems.serverful.inhouse.server import Server
from systems.serverless.live.roles import INSTANCE, TEMPLATE

from ..runtime.wording import foreign, malformed, messages

Word = tuple[bytes, int]
OWN = messages(REPLICA_SAYS).map(msgspec.json.encode)
WORDS = st.one_of(OWN, OWN, malformed(REPLICA_SAYS), foreign(INSTANCE.says, TEMPLATE.says))
SCRIPTS = st.lists(st.tuples(WORDS, st.sampled_from([0] * 6 + [1, 2])), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    tiny = ensure_backbone("tiny")
    adapters = ensure_adapters(tiny, ["f0"], rank=8)
    return Deployment(
        functions=(Function(id="f0", backbone="tiny", adapter=adapters["f0"]),),
        backbones={"tiny": tiny},
        devices=(Device(name="cpu:0", memory_bytes=2 << 30),),
        dtype="float32",
    )


def hear(deployment: Deployment, script: list[Word]) -> tuple[str, list[dict[str, Any]], bool]:
    """Return the reason why the server ended (empty: it did not), the errors of the event loop, and
    whether a received descriptor is still open. Request 0 runs on the replica."""
    raised: list[dict[str, Any]] = []
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    async def scene() -> tuple[str, bool]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: raised.append(context))
        server = _server(deployment)
        ours, theirs = wire.pair()
        with theirs:
            channel = server._channel(ours, 0)
            _ask(server, channel)
            _say(theirs, script, writer)
            await asyncio.sleep(0.02)
            ended = server._end.result() if server._end.done() else ""
            channel.close()
            server.close()
        return ended, _is_open(reader)

    try:
        ended, kept = asyncio.run(scene())
    finally:
        os.close(reader)
    return ended, raised, kept


def _server(deployment: Deployment) -> Server:
    with tempfile.TemporaryDirectory() as folder:
        return Server(
            {
                "scheme": "dlora",
                "deployment": deployment.model_dump(mode="json"),
                "backbone": "tiny",
                "options": {},
                "port": 0,
                "journal": str(Path(folder) / "journal"),
            }
        )


def _ask(server: Server, channel: wire.AsyncChannel) -> None:
    placement = Placement(server._deck.adapters, 1, 1, 4, Costs(merged=1.0, load=0.0))
    server._front = Front(server._deck, placement, server._journal)
    server._front.connect([channel])
    server._front.submit(
        client_id="0",
        function="f0",
        prompt_ids=[5],
        max_tokens=4,
        sampling=Sampling(),
        received_ns=1,
    )


def _say(theirs: socket.socket, script: list[Word], writer: int) -> None:
    with contextlib.suppress(OSError):
        for data, count in script:
            socket.send_fds(theirs, [data], [writer] * count)
    os.close(writer)


def _is_open(reader: int) -> bool:
    try:
        return os.read(reader, 1) != b""
    except BlockingIOError:
        return True


def test_any_words_of_a_replica_end_at_most_its_server(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        phases=(Phase.generate,),
    )
    @given(SCRIPTS)
    def check(script: list[Word]) -> None:
        with caplog.at_level(logging.WARNING):
            ended, raised, kept = hear(deployment, script)
        assert raised == []
        assert not kept
        assert [record.getMessage() for record in caplog.records] == []
        assert ended.isprintable()
        assert not ended or ended.startswith("replica 0 ended: it sent an invalid message: ")

    check()


@pytest.mark.parametrize("message", [Released(0, there=True), Joined(0)], ids=["parted", "joined"])
def test_a_request_that_was_not_asked_back_ends_the_server_by_name(
    message: Released | Joined, deployment: Deployment
) -> None:
    ended, raised, _ = hear(deployment, [(msgspec.json.encode(message), 0)])
    assert ended.startswith("replica 0 ended: it sent an invalid message: ")
    assert "request 0" in ended
    assert raised == []
