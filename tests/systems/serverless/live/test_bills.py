"""Processor time and memory come from the kernel's counters, not from an instance's reports."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.cost import bill, price_sheet
from systems.interface import Deployment, SystemTrace
from systems.runtime import journal, processor
from systems.runtime.calls import Failure, Tokens
from systems.runtime.cards import Cards
from systems.runtime.journal import Journal
from systems.runtime.messages import Sampling
from systems.serverless.core import actions as act
from systems.serverless.core import events as ev
from systems.serverless.core.artifacts import Artifact, CopyKey
from systems.serverless.core.cluster_spec import HOST
from systems.serverless.core.policies import PolicySet
from systems.serverless.core.policies.batching import FirstComeFirstServed
from systems.serverless.core.policies.offloading import ValueDensity
from systems.serverless.core.policies.preloading import NoPreloading
from systems.serverless.core.policies.sharing import SharedPerDevice
from systems.serverless.live.node import Node
from systems.serverless.live.nodes import Reports
from systems.serverless.live.plan import Plan, make_plan
from systems.serverless.live.platform import Platform
from systems.serverless.live.weights import mappings, store

from . import impostor

KEY = CopyKey("tiny", "cpu:0")
POLICIES = PolicySet(
    sharing=SharedPerDevice,
    preloading=NoPreloading,
    batching=FirstComeFirstServed,
    offloading=ValueDensity,
)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


# -- what is given back ----------------------------------------------------------------------------


def give_back(plan: Plan) -> tuple[list[ev.Event], list[str]]:
    """Make an instance map and release a shared copy; return its node's events and problems."""
    posted: list[ev.Event] = []
    problems: list[str] = []

    async def scene() -> None:
        reports = Reports(posted.append, _ignore, _ignore, _ignore, _ignore, problems.append)
        node = Node(plan, Cards(), reports)
        node.do[act.LoadBackbone](act.LoadBackbone(KEY, 1))
        await until(lambda: ev.BackboneLoaded(KEY, 1) in posted)
        node.do[act.StartInstance](act.StartInstance(0, "f0", "cpu:0", forked=False))
        await until(lambda: ev.InstanceStarted(0) in posted)
        node.do[act.LoadArtifact](act.LoadArtifact(0, Artifact.BACKBONE, KEY))
        await until(lambda: ev.ArtifactLoaded(0, Artifact.BACKBONE) in posted)
        node.do[act.OffloadArtifacts](act.OffloadArtifacts(0, (Artifact.BACKBONE,)))
        ends = (ev.ArtifactsOffloaded, ev.ProcessDied)
        await until(lambda: isinstance(posted[-1], ends))
        await node.close()

    asyncio.run(scene())
    return posted, problems


def _ignore(*said: Any) -> None:
    pass


def test_what_is_given_back_in_words_alone_is_not_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deployment: Deployment
) -> None:
    plan = make_plan(deployment, forks=False)
    impostor.in_place(monkeypatch, tmp_path, "liar")
    posted, problems = give_back(plan)
    reason = "reported that it released its backbone, but still maps it"
    assert ev.ArtifactsOffloaded(0) not in posted
    assert ev.ProcessDied(0, reason) in posted
    assert problems == [f"f0: its instance {reason}; it was ended"]


def test_what_is_given_back_is_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deployment: Deployment
) -> None:
    plan = make_plan(deployment, forks=False)
    impostor.in_place(monkeypatch, tmp_path, "honest")
    posted, problems = give_back(plan)
    assert ev.ArtifactsOffloaded(0) in posted
    assert problems == []


def _hidden(fd: int, body: str) -> subprocess.Popen[str]:
    """Start a process that hides its memory and runs ``body`` with the descriptor ``fd``."""
    program = f"""
import mmap, os, sys
from systems.runtime.sandbox import measures
measures.hide_memory()
fd = {fd}
{body}
print("ready", flush=True)
sys.stdin.read()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        pass_fds=[fd],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


MAPS = "held = mmap.mmap(fd, 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)"
CASES = {"nothing": ("os.close(fd)", False), "mapped": (f"{MAPS}\nos.close(fd)", True)}
OTHERS_SEE = """
import sys
from systems.runtime.sandbox import measures
from systems.serverless.live.weights import mappings
if sys.argv[3] == "unprivileged":
    measures.keep_capabilities()
print(mappings.holds(int(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.mark.parametrize("gateway", ["as it is", "unprivileged"])
@pytest.mark.parametrize(("body", "held"), CASES.values(), ids=CASES)
def test_who_holds_a_copy_is_found_although_it_hides_its_memory(
    body: str, held: bool, gateway: str
) -> None:
    fd = store.create("backbone:test", 8 << 20)
    try:
        with _hidden(fd, body) as child:
            said = subprocess.run(
                [sys.executable, "-c", OTHERS_SEE, str(child.pid), str(fd), gateway],
                pass_fds=[fd], capture_output=True, text=True, check=True,
            )  # fmt: skip
            child.kill()
    finally:
        os.close(fd)
    assert said.stdout == f"{held}\n"


def test_a_copy_is_held_by_a_descriptor_too_and_by_nobody_who_is_gone() -> None:
    fd = store.create("backbone:test", 1 << 20)
    try:
        assert mappings.holds(os.getpid(), fd)
        child = subprocess.Popen(["true"])
        child.wait()
        assert not mappings.holds(child.pid, fd)
    finally:
        os.close(fd)


# -- what is used ----------------------------------------------------------------------------------

BURNS = """
import os, sys, threading, time
def burn():
    while time.thread_time() < 0.1:
        pass
threads = [threading.Thread(target=burn) for _ in range(2)]
[each.start() for each in threads]
[each.join() for each in threads]
if os.fork() == 0:
    burn()
    os._exit(0)
os.wait()
if os.fork() == 0:
    burn()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)
"""


def test_processor_time_is_that_of_threads_and_children_also_of_one_that_ended() -> None:
    """Two threads, a child that was waited for and a running child, 0.1 s each."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", BURNS + "os.wait()"], **pipes) as child:  # type: ignore[call-overload]
        assert child.stdout.readline() == b"ready\n"
        running = processor.used_ns(child.pid)
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        ended = processor.used_ns(child.pid)
    assert running is not None
    assert ended is not None
    assert 0.36e9 <= running <= ended
    assert processor.used_ns(child.pid) is None, "unknown is not zero"


@dataclass(eq=False)
class Scene:
    """A platform in this process that receives one request."""

    node: Node

    async def burn(self) -> None:
        """Wait until the instance has computed for itself, and kill it."""
        (instance,) = self.node.instances.values()
        assert instance.child is not None
        assert instance.child.pid is not None
        assert instance.meter is not None
        pid = instance.child.pid
        wanted_ns = instance.meter.before_ns + round(impostor.BURNT_S * 1e9)
        await until(lambda: (processor.used_ns(pid) or 0) >= wanted_ns)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not self.node.instances)


def ask_once(
    plan: Plan, path: Path, then: Callable[[Scene], Awaitable[None]] | None = None
) -> tuple[Tokens | Failure, SystemTrace]:
    """The response to a call of f0, and its system trace after ``then``."""

    async def scene() -> Tokens | Failure:
        written = Journal(path)
        platform = Platform(plan, POLICIES, written)
        reports = Reports(
            event=platform.post,
            tokens=platform.tokens,
            isolation_gap=_ignore,
            audit=_ignore,
            metered=platform.metered,
            problem=written.problem,
        )
        node = Node(plan, Cards(), reports)
        platform.join(HOST, node)
        now = time.monotonic_ns()
        call = platform.submit(
            client_id="0",
            function="f0",
            prompt_ids=[5],
            max_tokens=4,
            sampling=Sampling(),
            received_ns=now,
        )
        answer, *_ = await call.answers.take()
        platform.answered(call, time.monotonic_ns())
        if then is not None:
            await then(Scene(node))
        await platform.close()
        written.close()
        return answer

    return asyncio.run(scene()), journal.read(path)


def test_an_instance_that_answers_and_then_computes_for_itself_pays_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deployment: Deployment
) -> None:
    plan = make_plan(deployment, forks=False)
    impostor.in_place(monkeypatch, tmp_path, "burner")
    _, system_trace = ask_once(plan, tmp_path / "journal", Scene.burn)
    (activity,), (use,) = system_trace.activity, system_trace.processor
    assert (use.instance_id, use.function_id) == (activity.instance_id, "f0")
    billed = bill(
        [], system_trace.activity, {}, price_sheet("alibaba-fc"),
        end_ns=use.end_ns, threads=1, processor=system_trace.processor,
    )  # fmt: skip
    assert sum(billed["quantity"].to_pylist()) >= 0.9 * impostor.BURNT_S


# -- when ------------------------------------------------------------------------------------------


def test_a_time_that_is_none_ends_its_instance_and_fails_its_call_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deployment: Deployment
) -> None:
    plan = make_plan(deployment, forks=False)
    impostor.in_place(monkeypatch, tmp_path, "mistimed")
    answer, system_trace = ask_once(plan, tmp_path / "journal")
    assert isinstance(answer, Failure)
    assert answer.status == 502
    assert "at `$.t_ns`" in answer.reason
    (request,) = system_trace.requests
    assert request.spans == ()
    assert request.placed_ns is not None
    assert request.done_ns is not None
    assert request.received_ns <= request.placed_ns <= request.done_ns
