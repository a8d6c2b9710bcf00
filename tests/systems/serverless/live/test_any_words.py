"""Any messages of a process, in any order, end at most that process, with one log line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from systems.interface import Deployment
from systems.runtime.calls import Tokens
from systems.runtime.children import kill
from systems.runtime.roles import Role
from systems.serverful.inhouse.replica import ROLE as REPLICA
from systems.serverless.core.artifacts import CopyKey
from systems.serverless.live.roles import AUDITOR, INSTANCE, LOADER, TEMPLATE

from ...runtime.wording import foreign, malformed, messages
from .puppets import Puppet, Stage, play, said

Word = tuple[bytes, int]
"""Bytes of a message, and the number of its descriptors."""


async def _instance(stage: Stage) -> Puppet:
    puppet, _ = await stage.up("f0")
    return puppet


async def _loader(stage: Stage) -> Puppet:
    stage.call("f0")
    await stage.until(lambda: stage.loaders)
    stage.loaders[0].does.clear()
    return stage.loaders[0]


async def _auditor(stage: Stage) -> Puppet:
    await stage.idle("f0")
    stage.node._shared.start_auditor(
        CopyKey("tiny", "cpu:0"), lambda message: None, lambda why: None
    )
    return stage.puppets[-1]


async def _template(stage: Stage) -> Puppet:
    stage.node._processes.start_template(lambda: None, lambda reason: None)
    return stage.puppets[-1]


SPEAKERS: dict[str, tuple[Role, Callable[[Stage], Awaitable[Puppet]]]] = {
    "instance": (INSTANCE, _instance),
    "loader": (LOADER, _loader),
    "auditor": (AUDITOR, _auditor),
    "template": (TEMPLATE, _template),
}


def words(role: Role) -> st.SearchStrategy[list[Word]]:
    """Mostly messages that the role may send, in any order; also invalid ones."""
    own = messages(role.says).map(msgspec.json.encode)
    others = [each.says for each in (INSTANCE, LOADER, AUDITOR, TEMPLATE, REPLICA)]
    word = st.one_of(own, own, malformed(role.says), foreign(*others))
    descriptors = st.sampled_from([0] * 8 + [1, 2])
    return st.lists(st.tuples(word, descriptors), min_size=1, max_size=6)


def _say(puppet: Puppet, said: Sequence[Word]) -> int:
    """Send the messages, each descriptor being the writing end of one pipe; return its reading end.
    The kernel refuses messages of a process that was already ended."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        for data, count in said:
            socket.send_fds(puppet.sock, [data], [writer] * count)
    os.close(writer)
    return reader


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_any_words_end_at_most_their_process(
    speaker: str, deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    role, begin = SPEAKERS[speaker]

    @settings(
        max_examples=8,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        phases=(Phase.generate,),
    )
    @given(words(role))
    def check(script: list[Word]) -> None:
        raised: list[dict[str, Any]] = []
        caplog.clear()

        async def scene(stage: Stage) -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda loop, context: raised.append(context))
            puppet = await begin(stage)
            reader = _say(puppet, script)
            await stage.all_heard()
            assert os.read(reader, 1) == b"", "no descriptor that came along is kept"
            os.close(reader)
            _check_lines(puppet, [record.getMessage() for record in caplog.records])
            kill(puppet.child)
            await stage.until(lambda: puppet.child.ended)
            other, call = await stage.up("f1")
            other.prefills(finished="stop")
            await stage.all_heard()
            assert said(call) == [Tokens((7,), "stop")], "the others are served"

        with caplog.at_level(logging.WARNING), tempfile.TemporaryDirectory() as folder:
            play(deployment, Path(folder), scene)
        assert raised == []

    check()


def _check_lines(puppet: Puppet, lines: list[str]) -> None:
    """Check for one log line if the process was ended for its messages, and for no other line."""
    assert len(lines) == bool(puppet.child.verdict), lines
    assert all(f"{puppet.role.name} {puppet.child.pid} is ended" in line for line in lines)
    assert all(line.isprintable() for line in lines)
