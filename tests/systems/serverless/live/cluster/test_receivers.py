"""How gateway and agent handle every message of the other: malformed, out of order, foreign."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systems.interface import Deployment, Device, Function, Stage
from systems.runtime.links.message import Message, Ping, Pong
from systems.serverless.core import actions as act
from systems.serverless.core.artifacts import Artifact, CopyKey
from systems.serverless.live.cluster import action_messages as actions
from systems.serverless.live.cluster import event_messages as events
from systems.serverless.live.cluster import messages as msg
from systems.serverless.live.cluster.agent import Agent
from systems.serverless.live.cluster.agent_session import Session
from tests.systems.runtime.links.receivers import (
    Wire,
    kinds,
    refuses_what_is_out_of_order,
    refuses_what_is_wrong,
)

COPY = CopyKey("tiny", "node-0/cpu:0")
HELLO = msg.AgentHello(msg.VERSION, "node-0", "its own clock")
READY = msg.Ready((msg.OfferedDevice("cpu:0", 1 << 30, 1),), 2)
DECODED = {"kind": "decoded", "t_ns": 5, "tokens": [[1, 2, "stop"]]}
TOKENS = msg.Tokens(3, json.dumps(DECODED).encode())
SPANS = (events.StageSpan(Stage.WARMING, 1, 2),)
SUM = msg.Summed(7, 1, 2)
OF_AN_AGENT: dict[type[Message], Message] = {
    type(message): message
    for message in (
        HELLO,
        READY,
        msg.Declined("no such model"),
        Pong(0, 5),
        msg.IsolationGap("no Landlock"),
        msg.Problem("something"),
        msg.Memory(5, 1 << 20, None),
        msg.Metered(3, 1, 2, 1),
        msg.Audited(COPY, SUM, SUM, ""),
        TOKENS,
        events.TemplateReady(),
        events.TemplateDied("killed"),
        events.InstanceStarted(3, SPANS, 2),
        events.ArtifactLoaded(3, SPANS, 2, artifact=Artifact.LIBRARIES),
        events.ArtifactsOffloaded(3),
        events.AdapterLoaded(3, SPANS, 2, function="f1"),
        events.AdapterFailed(3, "f1", "not finite"),
        events.AdapterTierResized(5),
        events.InstanceStopped(3),
        events.ProcessDied(3, "killed"),
        events.BackboneLoaded(COPY, 1),
        events.BackboneFailed(COPY, 1, "no file"),
        events.PrewarmedReady(COPY, 2, 740),
    )
}
RELATING = {Pong, msg.IsolationGap, msg.Problem}
IN_USE = {*RELATING, msg.Memory, msg.Metered, msg.Audited, msg.Tokens, *events.EVENTS}


class Gateway:
    """A fake agent registry with all that a session uses; it records what it receives."""

    def __init__(self) -> None:
        self.reached: list[Any] = []
        self.told: list[str] = []
        self.guests: dict[str, Session] = {}
        self.closing = False
        self.offer = msg.Welcome()
        self.tell = self.told.append
        note = lambda *what: self.reached.append(what)  # noqa: E731
        self.journal = SimpleNamespace(
            problem=note, node=note, node_memory=note, isolation_gap=note
        )
        self.account = SimpleNamespace(take=note)
        self.platform = SimpleNamespace(
            post=note,
            tokens=note,
            metered=note,
            join=self._join,
            leave=note,
            awaited=lambda host: [],
        )

    def _join(self, name: str, node: Any, devices: Any) -> None:
        node.do[act.StartTemplate](act.StartTemplate(name))
        node.do[act.StartInstance](act.StartInstance(3, "f0", "node-0/cpu:0", forked=True))
        node.do[act.LoadBackbone](act.LoadBackbone(COPY, 1))


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    """Provides an event loop, since receivers set timers; it never runs."""
    loop = asyncio.new_event_loop()
    asyncio.events._set_running_loop(loop)
    yield
    asyncio.events._set_running_loop(None)
    loop.close()


def stranger(gateway: Gateway | None = None) -> Wire:
    gate: Any = gateway or Gateway()
    return Wire(Session(gate).link)


def introduced(gateway: Gateway | None = None) -> Wire:
    wire = stranger(gateway)
    wire.say(HELLO)
    return wire


def asked(wire: Wire) -> int:
    """The open ping."""
    return int(next(each for each in reversed(wire.heard) if each["kind"] == "Ping")["asked_ns"])


def relating(gateway: Gateway | None = None) -> Wire:
    wire = introduced(gateway)
    wire.say(READY)
    return wire


def in_use(gateway: Gateway | None = None) -> Wire:
    wire = relating(gateway)
    for _ in range(8):
        wire.say(Pong(asked(wire), 5))
    return wire


STAGES = [
    (stranger, {msg.AgentHello}),
    (introduced, {msg.Ready, msg.Declined}),
    (relating, RELATING),
    (in_use, IN_USE),
]


def test_every_message_of_an_agent_is_tried() -> None:
    assert set(OF_AN_AGENT) == kinds(msg.FromAgent)
    assert set().union(*(expected for _, expected in STAGES)) == kinds(msg.FromAgent)


@pytest.mark.parametrize(("stage", "expected"), STAGES)
def test_an_agent_says_what_its_stage_allows(stage: Any, expected: set[type[Message]]) -> None:
    refuses_what_is_out_of_order(stage, OF_AN_AGENT, expected)


@pytest.mark.parametrize(("stage", "expected"), STAGES)
def test_what_is_almost_a_message_of_an_agent_ends_it(
    stage: Any, expected: set[type[Message]]
) -> None:
    for kind in expected - {Pong}:  # a valid pong depends on the ping
        refuses_what_is_wrong(stage, OF_AN_AGENT[kind])


FOREIGN = [
    msg.Metered(4, 1, 2, 1),
    msg.Audited(COPY._replace(device="node-1/cpu:0"), SUM, SUM, ""),
    msg.Tokens(4, TOKENS.said),
    msg.Tokens(3, b"{}"),
    msg.Tokens(3, b"no JSON"),
    msg.Tokens(3, b"[" * 100_000),
    events.InstanceStarted(4),
    events.ArtifactLoaded(4, artifact=Artifact.KERNELS),
    events.ArtifactsOffloaded(4),
    events.AdapterLoaded(4, function="f1"),
    events.AdapterFailed(4, "f1", "not finite"),
    events.InstanceStopped(4),
    events.ProcessDied(4, "another"),
    events.BackboneLoaded(COPY._replace(backbone="another"), 1),
    events.BackboneFailed(COPY._replace(instance=3), 1, "another"),
    events.PrewarmedReady(COPY._replace(device="node-1/cpu:0"), 2),
    Pong(1, 5),
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda message: type(message).__name__)
def test_what_is_not_its_own_ends_the_node_and_is_named(foreign: Message) -> None:
    gateway = Gateway()
    wire = in_use(gateway)
    gateway.reached.clear()
    wire.say(foreign)
    assert wire.gone
    (line,) = [what[0] for what in gateway.reached if isinstance(what[0], str) and len(what) == 1]
    assert line.startswith("node node-0 was lost: it does not keep to the protocol: ")
    assert {type(what[0]).__name__ for what in gateway.reached} <= {"str", "NodeSeen"}


def test_what_ended_is_spoken_of_no_more() -> None:
    wire = in_use()
    wire.say(events.InstanceStopped(3))
    assert not wire.gone
    wire.say(TOKENS)
    assert "instance 3 is not an instance of node-0" in wire.link._why


def test_one_answer_does_for_one_question() -> None:
    wire = relating()
    answer = Pong(asked(wire), 5)
    wire.say(answer)
    assert not wire.gone
    wire.say(answer)
    assert "a question that was not asked" in wire.link._why


def test_a_node_that_answers_nothing_is_lost_after_ten_questions() -> None:
    gateway = Gateway()
    wire = in_use(gateway)
    asked_before = 0
    while asked_before < 100:
        gateway.guests["node-0"]._round()
        if wire.gone:
            break
        asked_before += 1
    assert (asked_before, wire.link._why) == (10, "silent for 10 s")


@pytest.mark.parametrize("slots", [0, 1 << 17])
def test_a_device_that_computes_nothing_or_too_much_at_once_is_refused(slots: int) -> None:
    """The core divides by this number."""
    wire = introduced()
    wire.say(msg.Ready((msg.OfferedDevice("cpu:0", 1 << 30, slots),), 2))
    assert "devices[0].slots" in wire.link._why


def test_a_tier_of_more_bytes_than_can_be_counted_is_refused() -> None:
    wire = in_use()
    wire.say(events.AdapterTierResized(1 << 62))
    assert "nbytes" in wire.link._why


def test_devices_of_one_name_are_refused() -> None:
    wire = introduced()
    wire.say(msg.Ready(READY.devices * 2, 2))
    assert "two devices of one name" in wire.link._why


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        (msg.AgentHello(msg.VERSION - 1, "node-1", "x"), "install the same"),
        (msg.AgentHello(msg.VERSION, "node-0", "x"), "another node has that name"),
    ],
)
def test_an_agent_that_does_not_fit_is_told_why_and_says_no_more(
    hello: msg.AgentHello, reason: str
) -> None:
    gateway = Gateway()
    introduced(gateway)
    wire = stranger(gateway)
    wire.say(hello)
    assert reason in wire.heard[-1]["reason"]
    wire.say(READY)
    assert "may not say Ready now" in gateway.told[0]
    assert set(gateway.guests) == {"node-0"}


@given(content=st.binary(max_size=64))
def test_bytes_of_a_node_reach_nothing(content: bytes) -> None:
    gateway = Gateway()
    wire = in_use(gateway)
    gateway.reached.clear()
    wire.say_raw(content)
    assert wire.gone
    assert {type(what[0]).__name__ for what in gateway.reached} <= {"str", "NodeSeen"}


# -- the agent ----------------------------------------------------------------------------------

OFFER = msg.Offer(
    Deployment(
        functions=(Function(id="f0", backbone="tiny"),),
        backbones={"tiny": Path("/models/tiny")},
        devices=(Device(name="cpu:0", memory_bytes=2 << 30),),
    ),
    True,
    {"backbone tiny": "0" * 64},
    "/cache",
)
OF_THE_GATEWAY: dict[type[Message], Message] = {
    type(message): message
    for message in (
        OFFER,
        msg.Refused("another has that name"),
        msg.Welcome(),
        msg.Stop(),
        Ping(5),
        msg.Say(3, b'{"kind": "cancel", "request": 9}'),
        actions.StartTemplate("node-0"),
        actions.StartInstance(3, "f0", "cpu:0", True),
        actions.StopInstance(3),
        actions.LoadArtifact(3, Artifact.BACKBONE, COPY),
        actions.OffloadArtifacts(3, (Artifact.KERNELS,)),
        actions.PrepareAdapter("node-0", "f1"),
        actions.LoadAdapter(3, "f1"),
        actions.DropAdapter(3, "f1"),
        actions.LoadBackbone(COPY, 1),
        actions.CopyBackbone(COPY, 2, COPY._replace(device="node-0/cpu:1")),
        actions.DropBackbone(COPY),
        actions.DeviceWork("cuda:0", True),
    )
}


class Doing:
    """A node that records the actions that it receives."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.do = dict.fromkeys((kind.carries for kind in actions.ACTIONS), self.done.append)

    def send(self, instance: int, kind: str, **fields: Any) -> None:
        self.done.append((instance, kind, fields))


class Still(Agent):
    """An agent that starts no tasks."""

    def _spawn(self, work: Any) -> None:
        work.close()


def fresh() -> Wire:
    agent = Still("node-0")
    wire = Wire(agent.link)
    agent.introduce()
    return wire


def preparing() -> Wire:
    wire = fresh()
    wire.say(OFFER)
    return wire


def serving() -> Wire:
    agent = Still("node-0")
    wire = Wire(agent.link)
    agent.node = Doing()  # type: ignore[assignment]
    agent.link.expect(agent._as_a_node())
    return wire


ENDS = {msg.Refused, msg.Stop}
AGENT_STAGES = [
    (fresh, {msg.Offer, *ENDS}),
    (preparing, ENDS),
    (serving, {Ping, msg.Welcome, msg.Say, *actions.ACTIONS, *ENDS}),
]


def test_every_message_of_the_gateway_is_tried() -> None:
    assert set(OF_THE_GATEWAY) == kinds(msg.FromGateway)


@pytest.mark.parametrize(("stage", "expected"), AGENT_STAGES)
def test_the_gateway_says_what_the_stage_allows(stage: Any, expected: set[type[Message]]) -> None:
    refuses_what_is_out_of_order(stage, OF_THE_GATEWAY, expected)


@pytest.mark.parametrize(("stage", "expected"), AGENT_STAGES)
def test_what_is_almost_a_message_of_the_gateway_ends_the_agent(
    stage: Any, expected: set[type[Message]]
) -> None:
    for kind in expected:
        refuses_what_is_wrong(stage, OF_THE_GATEWAY[kind])


@pytest.mark.parametrize("said", [b"{}", b"[]", b"no JSON", b"[" * 100_000])
def test_what_no_instance_understands_is_not_passed_on(said: bytes) -> None:
    wire = serving()
    wire.say(msg.Say(3, said))
    assert wire.gone
    assert "does not keep to the protocol" in wire.link._why


def test_an_agent_introduces_itself_and_says_no_more_before_it_is_asked() -> None:
    assert [each["kind"] for each in fresh().heard] == ["AgentHello"]
