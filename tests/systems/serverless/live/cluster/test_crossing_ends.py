"""Actions that reach an agent after what they need there has ended: one instance ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from systems.interface import Deployment
from systems.runtime.cards import Cards
from systems.runtime.links.link import pack
from systems.serverless.core import actions as act
from systems.serverless.core import events as ev
from systems.serverless.core.artifacts import Artifact, CopyKey
from systems.serverless.live.cluster import action_messages as actions
from systems.serverless.live.cluster.agent import Agent
from systems.serverless.live.node import Node
from systems.serverless.live.nodes import Reports
from systems.serverless.live.plan import make_plan

PATIENCE_S = 20.0
COPY = CopyKey("tiny", "cpu:0")

Deaths = Callable[..., list[ev.Event]]


@pytest.fixture
def deaths(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deaths:
    """Lets an agent receive actions over its link; returns the deaths that its node reports,
    after the first."""
    stub = tmp_path / "stub"
    stub.write_text("#!/bin/sh\nexec sleep 600\n", encoding="ascii")
    stub.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stub))

    async def scene(told: tuple[Any, ...]) -> list[ev.Event]:
        found: list[ev.Event] = []
        died = asyncio.Event()

        def post(event: ev.Event) -> None:
            if isinstance(event, ev.ProcessDied):
                found.append(event)
                died.set()

        agent = Agent("node-0")
        reports = Reports(post, print, print, print, print, print)
        agent.node = Node(make_plan(deployment, forks=True), Cards(), reports)
        try:
            agent.link.expect(agent._as_a_node())
            for action in told:
                agent.link.data_received(pack(actions.of(action)))
            await asyncio.wait_for(died.wait(), PATIENCE_S)
            assert agent.link._why == "", "it closed its link, and all that it runs would end"
        finally:
            await agent.node.close()
        return found

    return lambda *told: asyncio.run(scene(told))


def test_a_fork_from_a_template_that_has_ended_is_the_death_of_one_instance(
    deaths: Deaths,
) -> None:
    """It was an assertion, which ended the agent and every process on its machine."""
    start = act.StartInstance(7, "f0", "cpu:0", forked=True)
    assert deaths(start) == [ev.ProcessDied(7, "the template has ended")]


def test_a_backbone_that_has_ended_ends_the_instance_that_was_to_map_it(deaths: Deaths) -> None:
    """It closed the agent's link, as a message that breaks the protocol does."""
    start = act.StartInstance(7, "f0", "cpu:0", forked=False)
    load = act.LoadArtifact(7, Artifact.BACKBONE, COPY)
    reason = "the shared backbone tiny on cpu:0 is gone"
    assert deaths(start, load) == [ev.ProcessDied(7, reason)]
