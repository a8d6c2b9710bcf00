"""An instance under a tenant's control sends any message: other requests are not affected."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from systems.interface import Deployment
from systems.runtime.calls import Failure, Tokens
from systems.runtime.channel import MESSAGES_A_TURN
from systems.runtime.children import kill
from systems.serverless.core import actions as act
from systems.serverless.core.artifacts import Artifact, CopyKey
from systems.serverless.live import lifecycle, roles
from systems.serverless.live.live_instance import LiveInstance

from .puppets import Puppet, Stage, play, said

Play = Callable[..., None]
NOW = 1 << 40


@pytest.fixture
def on_stage(deployment: Deployment, tmp_path: Path) -> Play:
    return lambda scene, **options: play(deployment, tmp_path, scene, **options)


# -- answers ------------------------------------------------------------------------------------


def test_tokens_for_a_request_of_another_instance_reach_nobody(on_stage: Play) -> None:
    async def scene(stage: Stage) -> None:
        mine, _ = await stage.up("f0")
        theirs, victim = await stage.up("f1")
        mine.decodes((victim.id, 13, "stop"))
        mine.says(
            "prefilled",
            batch=2,
            start_ns=1,
            t_ns=2,
            computed_ns=1,
            tokens=[(victim.id, 13, "stop")],
        )
        await stage.all_heard()
        assert said(victim) == []
        theirs.prefills(token=7, finished="stop")
        await stage.all_heard()
        assert said(victim) == [Tokens((7,), "stop")]

    on_stage(scene)


def test_a_cancellation_by_another_instance_ends_nothing(on_stage: Play) -> None:
    async def scene(stage: Stage) -> None:
        mine, _ = await stage.up("f0")
        theirs, victim = await stage.up("f1")
        mine.says("cancelled", request=victim.id)
        await stage.all_heard()
        assert victim.id in stage.platform.controller.state.requests
        theirs.prefills(finished="length")
        await stage.all_heard()
        assert said(victim) == [Tokens((7,), "length")]

    on_stage(scene)


def test_words_about_requests_that_wait_leave_the_queue_whole(on_stage: Play) -> None:
    """Such messages left stale ids in the queue, and the function never responded again."""

    async def scene(stage: Stage) -> None:
        mine, _ = await stage.up("f0")
        waiting = stage.call("f1")
        mine.says("cancelled", request=waiting.id)
        mine.decodes((waiting.id, 13, "stop"))
        await stage.until(lambda: stage.puppets[-1] is not mine and _told_to_run(stage, "f1"))
        stage.of("f1").prefills(finished="stop")
        await stage.all_heard()
        assert said(waiting) == [Tokens((7,), "stop")]

    on_stage(scene)


def _told_to_run(stage: Stage, function: str) -> bool:
    there = [live for live in stage.node.instances.values() if live.group == function]
    return bool(there) and bool(stage.of(function).asked("run"))


def test_a_call_gets_no_more_tokens_than_it_asked_for(on_stage: Play) -> None:
    async def scene(stage: Stage) -> None:
        mine, call = await stage.up("f0")
        mine.prefills()
        for _ in range(50):
            mine.decodes(*[(call.id, 7, None)] * 10)
        await stage.all_heard()
        assert len(said(call)) == call.max_tokens

    on_stage(scene)


def test_an_answer_that_ends_before_its_prefill_holds_no_place_in_the_device(
    on_stage: Play,
) -> None:
    """Otherwise the batch would count as prefilling as long as its instance lives."""

    async def scene(stage: Stage) -> None:
        mine, call = await stage.up("f0")
        mine.decodes((call.id, 7, "stop"))
        await stage.all_heard()
        (device,) = stage.platform.controller.state.devices.values()
        assert device.prefilling == 1
        assert call.id in stage.platform.controller.state.requests, "it has not had its prefill"
        mine.prefills(finished="stop")
        await stage.all_heard()
        assert device.prefilling == 0
        assert not stage.platform.controller.state.requests

    on_stage(scene)


# -- artifacts ----------------------------------------------------------------------------------


def test_a_backbone_that_was_not_asked_for_is_not_loaded(on_stage: Play) -> None:
    """Other instances were told to map a copy that was still being read."""

    async def scene(stage: Stage) -> None:
        stage.call("f0")
        await stage.until(lambda: stage.loaders)
        (loader,) = stage.loaders
        loader.does.discard("load")
        mine = stage.of("f0")
        mine.does.discard("load")
        for artifact in ("backbone", "adapter", "kernels"):
            mine.says("loaded", artifact=artifact)
        stage.call("f1")
        await stage.all_heard()
        copy = stage.platform.controller.state.copies[CopyKey("tiny", "cpu:0")]
        assert not copy.loaded
        loads = [message["artifact"] for message in stage.of("f1").asked("load")]
        assert loads == ["libraries"]

    on_stage(scene)


@pytest.mark.parametrize("kind", ["started", "failed"])
def test_a_descriptor_that_a_loader_sends_with_another_message_is_closed(
    on_stage: Play, kind: str
) -> None:
    """Otherwise a loader could take all descriptors that the gateway may have."""

    async def scene(stage: Stage) -> None:
        stage.call("f0")
        await stage.until(lambda: stage.loaders)
        (loader,) = stage.loaders
        loader.does.discard("load")
        reader, writer = os.pipe2(os.O_NONBLOCK)
        loader.says(kind, fds=[writer], **({"t_ns": 1} if kind == "started" else {"reason": "no"}))
        os.close(writer)
        await stage.all_heard()
        assert os.read(reader, 1) == b"", "the gateway has closed it"
        os.close(reader)

    on_stage(scene)


def test_a_loader_whose_copy_is_not_wanted_any_more_is_not_believed(on_stage: Play) -> None:
    """An instance that died during its start left its loader running: its message was taken for
    the second copy, which was then mapped before it was sealed."""

    async def scene(stage: Stage) -> None:
        first = stage.call("f0")
        await stage.until(lambda: stage.loaders)
        orphan = stage.loaders[0]
        orphan.does.clear()
        stage.of("f0").dies()
        await stage.until(lambda: len(stage.loaders) == 2)
        second = stage.loaders[1]
        second.does.clear()
        _try(lambda: orphan.says("loaded"))
        await stage.all_heard()
        assert not stage.platform.controller.state.copies[CopyKey("tiny", "cpu:0")].loaded
        await stage.until(lambda: orphan.child.ended)
        assert CopyKey("tiny", "cpu:0") in stage.node.copies, "the second one is untouched"
        second.says("loaded")
        await stage.until(lambda: _told_to_run(stage, "f0"))
        assert said(first) == []

    on_stage(scene)


def test_a_descriptor_that_comes_too_late_is_closed(on_stage: Play) -> None:
    """On a GPU an open descriptor keeps the memory of a whole backbone."""

    async def scene(stage: Stage) -> None:
        stage.call("f0")
        await stage.until(lambda: stage.loaders)
        orphan = stage.loaders[0]
        orphan.does.clear()
        stage.of("f0").dies()
        await stage.until(lambda: len(stage.loaders) == 2)
        stage.loaders[1].does.clear()
        reader, writer = os.pipe()
        _try(lambda: orphan.says("loaded", [writer]))
        os.close(writer)
        await stage.until(lambda: orphan.child.ended)
        orphan.sock.close()
        os.set_blocking(reader, False)
        assert os.read(reader, 1) == b"", "no writer is left"
        os.close(reader)

    on_stage(scene)


def _try(say: Callable[[], None]) -> None:
    """Ignore the kernel's refusal of a message on a closed channel."""
    with contextlib.suppress(OSError):
        say()


# -- channels -----------------------------------------------------------------------------------


def _fill(puppet: Puppet) -> int:
    """Send messages until the socket is full; return their number."""
    puppet.sock.setblocking(False)
    content = json.dumps({"kind": "cancelled", "request": 10**6}).encode()
    for count in itertools.count():
        try:
            puppet.says_raw(content)
        except BlockingIOError:
            return count
    raise AssertionError("it never fills")


def test_a_flood_is_taken_in_turns_with_everything_else(on_stage: Play) -> None:
    """The loop read as long as messages were pending, and served nothing else."""

    async def scene(stage: Stage) -> None:
        mine = await stage.idle("f0")
        count = _fill(mine)
        assert count > 3 * MESSAGES_A_TURN
        taken: list[int] = []
        lifecycle = stage.node._lifecycle
        real = lifecycle._reports.tokens
        turns = 0

        def count_and_take(instance: int, message: Any) -> None:
            taken.append(turns)
            real(instance, message)

        lifecycle._reports = replace(lifecycle._reports, tokens=count_and_take)
        while len(taken) < count:
            await asyncio.sleep(0)
            turns += 1
        assert max(taken.count(turn) for turn in set(taken)) <= MESSAGES_A_TURN

    on_stage(scene)


def test_one_that_was_to_end_before_it_was_known_to_have_begun_ends(on_stage: Play) -> None:
    """A fork may send an invalid message before the template has reported its pid."""

    async def scene(stage: Stage) -> None:
        forks = stage.node._processes
        forks.start_template(lambda: None, lambda reason: None)
        (template,) = stage.puppets
        ends: list[int | None] = []
        child = forks.fork(roles.INSTANCE, lambda message, fds: None, ends.append)
        kill(child)
        await stage.until(lambda: template.asked("fork"))
        (asked,) = template.asked("fork")
        with subprocess.Popen(["sleep", "60"]) as process:
            template.says("forked", token=asked["token"], pid=process.pid)
            await stage.until(lambda: process.poll() is not None)
        template.says("exited", pid=process.pid, returncode=process.returncode, used_ns=0)
        await stage.until(lambda: ends)
        assert ends == [-signal.SIGKILL]

    on_stage(scene)


def test_descriptors_of_an_instance_are_not_taken(on_stage: Play) -> None:
    """After twenty thousand descriptors the gateway could open no file any more."""

    async def scene(stage: Stage) -> None:
        mine = await stage.idle("f0")
        before = len(os.listdir("/proc/self/fd"))
        with open("/dev/null", "rb") as null:
            mine.says("pong", [null.fileno()] * 4)
            await stage.all_heard()
        assert len(os.listdir("/proc/self/fd")) <= before
        await stage.until(lambda: mine.child.ended)

    on_stage(scene)


MALFORMED: dict[str, bytes | dict[str, Any]] = {
    "no json": b"\xff{",
    "deep json": b"[" * 50_000,
    "no object": b"[1]",
    "no kind": b"{}",
    "a kind that is none": {"kind": ["cancelled"]},
    "an unknown kind": {"kind": "forked", "token": 1, "pid": 1},
    "a missing field": {"kind": "loaded"},
    "an artifact that is none": {"kind": "loaded", "artifact": "root"},
    "a request that is a list": {"kind": "cancelled", "request": [1]},
    "a request that is true": {"kind": "cancelled", "request": True},
    "a time that is text": {"kind": "decoded", "t_ns": "x", "tokens": []},
    "a time that is no number": {"kind": "decoded", "t_ns": float("nan"), "tokens": []},
    "a time of 10^30": {"kind": "decoded", "t_ns": 10**30, "tokens": []},
    "tokens that are none": {"kind": "decoded", "t_ns": NOW, "tokens": 3},
    "a token that is text": {"kind": "decoded", "t_ns": NOW, "tokens": [[0, "x", None]]},
    "a token that is short": {"kind": "decoded", "t_ns": NOW, "tokens": [[0, 1]]},
    "a token below zero": {"kind": "decoded", "t_ns": NOW, "tokens": [[0, -1, None]]},
    "an end that is none": {"kind": "decoded", "t_ns": NOW, "tokens": [[0, 1, "because"]]},
    "a message of 200 kB": {"kind": "failed", "reason": "x" * 200_000},
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_message_ends_its_process_and_no_more(
    on_stage: Play, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    async def scene(stage: Stage) -> None:
        neighbour, theirs = await stage.up("f1")
        mine, call = await stage.up("f0")
        content = MALFORMED[what]
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        with caplog.at_level(logging.WARNING):
            mine.says_raw(data)
            await stage.until(lambda: mine.child.ended)
        (failure,) = said(call)
        assert isinstance(failure, Failure)
        assert failure.status == 502
        assert "instance" in failure.reason
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 1, lines
        assert "\n" not in lines[0]
        assert f"instance {mine.child.pid}" in lines[0]
        neighbour.prefills(finished="stop")
        again, _ = await stage.up("f0")
        assert again is not mine, "the function recovers"
        assert said(theirs) == [Tokens((7,), "stop")]

    on_stage(scene)


@pytest.mark.parametrize("data", [b"\xff{", b'{"kind": "decoded"}'])
def test_the_end_of_a_process_is_heard_whatever_it_said_last(on_stage: Play, data: bytes) -> None:
    """The process sends a message and ends, so that it is read only after the end."""

    async def scene(stage: Stage) -> None:
        mine, _ = await stage.up("f0")
        held = stage.held()
        mine.dies()
        assert mine.child.popen is not None
        mine.child.popen.wait()
        loop = asyncio.get_running_loop()
        loop.remove_reader(mine.child.channel._sock)
        mine.says_raw(data)
        await stage.until(lambda: mine.child.ended)
        assert stage.held() < held, "its memory left the ledger"
        again, _ = await stage.up("f0")
        assert again is not mine

    on_stage(scene)


def test_a_message_that_breaks_its_handler_ends_its_process(on_stage: Play) -> None:
    """Even for errors that no check finds, the end is reported, and only once."""

    async def scene(stage: Stage) -> None:
        mine, call = await stage.up("f0")
        ends: list[int | None] = []
        on_exit = mine.child.on_exit
        mine.child.on_exit = lambda code: (ends.append(code), on_exit(code))[1]
        mine.child.on_message = lambda message, fds: 1 / 0  # type: ignore[assignment,return-value]
        mine.says("pong")
        mine.says("offloaded")
        await stage.until(lambda: mine.child.ended)
        await stage.all_heard()
        assert ends == [-9]
        (failure,) = said(call)
        assert isinstance(failure, Failure)

    on_stage(scene)


# -- deadlines ----------------------------------------------------------------------------------


async def _beside(stage: Stage, function: str) -> tuple[Puppet, Any, Any]:
    """Start an instance that decodes two requests."""
    puppet, first = await stage.up(function)
    puppet.prefills()
    second = stage.call(function)
    await stage.until(lambda: len(puppet.asked("run")) == 2)
    puppet.prefills()
    await stage.all_heard()
    return puppet, first, second


def test_one_that_does_not_let_go_of_a_cancelled_request_is_ended(on_stage: Play) -> None:
    """The instance answered every ping and blocked its device for all others."""

    async def scene(stage: Stage) -> None:
        mine, left, other = await _beside(stage, "f0")
        stage.platform.abandon(left)
        waiting = stage.call("f1")
        await stage.until(lambda: mine.child.ended)
        (*_, failure) = said(other)
        assert isinstance(failure, Failure)
        assert failure.status == 502
        assert "cancelled" in failure.reason
        again, _ = await stage.up("f0")
        assert again is not mine
        await stage.until(lambda: _told_to_run(stage, "f1"))
        assert waiting.id in stage.platform.controller.state.requests

    on_stage(scene, release_grace_s=0.2)


def test_one_that_lets_go_in_time_lives_on(on_stage: Play) -> None:
    async def scene(stage: Stage) -> None:
        mine, left, other = await _beside(stage, "f0")
        stage.platform.abandon(left)
        await stage.until(lambda: mine.asked("cancel"))
        mine.says("cancelled", request=left.id)
        deadline = time.monotonic() + 0.3
        await stage.until(lambda: time.monotonic() > deadline)
        assert not mine.child.ended
        mine.decodes((other.id, 8, "stop"))
        await stage.all_heard()
        assert said(other)[-1] == Tokens((8,), "stop")

    on_stage(scene, release_grace_s=0.1)


def test_one_that_does_not_give_artifacts_back_is_ended(on_stage: Play) -> None:
    """Its memory counted as being released, and others waited for it without end."""

    async def scene(stage: Stage) -> None:
        mine = await stage.idle("f0")
        mine.does.discard("offload")
        (instance,) = stage.platform.controller.state.instances
        stage.node.do[act.OffloadArtifacts](act.OffloadArtifacts(instance, (Artifact.KERNELS,)))
        await stage.until(lambda: mine.child.ended)
        assert not stage.platform.controller.state.instances
        again, _ = await stage.up("f0")
        again.prefills(finished="stop")
        await stage.all_heard()
        (instance,) = stage.platform.controller.state.instances
        stage.node.do[act.OffloadArtifacts](act.OffloadArtifacts(instance, (Artifact.KERNELS,)))
        deadline = time.monotonic() + 0.3
        await stage.until(lambda: time.monotonic() > deadline)
        assert not again.child.ended, "it gave back what it was told to"

    on_stage(scene, release_grace_s=0.1)


def test_one_that_never_has_its_adapter_loaded_is_ended(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What starts is not evicted. Its memory was lost to all others, without a call of its own, for
    as long as it answered pings, whatever else it said to have loaded."""
    monkeypatch.setattr(lifecycle, "MOST_LOAD_S", 0.2)

    async def scene(stage: Stage) -> None:
        mine = await stage.idle("f1")  # one has its adapter in time
        one = stage.held()
        call = stage.call("f0")
        await stage.until(lambda: any(each.group == "f0" for each in _live(stage)))
        hostile = stage.of("f0")
        hostile.does.discard("load")
        await stage.until(lambda: "libraries" in _asked(hostile))
        hostile.says("loaded", artifact="libraries")
        await stage.until(lambda: "backbone" in _asked(hostile))
        hostile.says("loaded", artifact="backbone")
        await stage.until(lambda: "adapter" in _asked(hostile))
        hostile.says("loaded", artifact="backbone")
        stage.platform.abandon(call)
        await stage.until(lambda: hostile.child.ended)
        assert hostile.child.verdict == "an artifact was not loaded after 0.2 s"
        assert stage.held() == one
        assert not mine.child.ended

    play(deployment, tmp_path, scene)


def _live(stage: Stage) -> list[LiveInstance]:
    return list(stage.node.instances.values())


def _asked(puppet: Puppet) -> list[str]:
    return [each["artifact"] for each in puppet.asked("load")]
