"""InstaInfer's containers pass from one function to another, with the option ``takeover``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment, Stage, StartType
from systems.serverless.live import containers
from systems.serverless.live.plan import make_plan

from .conftest import Running

CALLS = ("f0", "f1", "f0")


@pytest.mark.live
def test_a_process_serves_one_function_after_another(deploy: Callable[..., Running]) -> None:
    running = deploy("instainfer", options={"takeover": "libraries"})
    pids: list[set[int]] = []

    async def ask() -> list[Any]:
        answers = []
        async with aiohttp.ClientSession() as session:
            for function in CALLS:
                answers.append(await running.ask(session, function))
                pids.append({process.pid for process in running.instances()})
        return answers

    texts = [answer["choices"][0]["text"] for answer in asyncio.run(ask())]
    assert texts[0] == texts[2] != texts[1], "each call by its own adapter"
    assert len(set.union(*pids)) == 1
    running.system.stop()
    trace = running.system.system_trace()
    assert trace.isolation_gaps == (containers.ISOLATION_GAP,)
    assert [each.start_type for each in trace.requests] == [
        StartType.COLD, StartType.WARM, StartType.WARM,
    ]  # fmt: skip
    for request in trace.requests[1:]:
        stages = {span.stage for span in request.spans}
        assert Stage.BACKBONE in stages
        assert not stages & {Stage.WARMING, Stage.LIBRARIES}
    assert [each.function_id for each in trace.processor] == list(CALLS), "each pays for its own"


def test_live_containers_keep_their_libraries_and_see_all_files(deployment: Deployment) -> None:
    with pytest.raises(DeploymentError, match="set takeover=libraries"):
        make_plan(deployment.model_copy(update={"options": {"takeover": "container"}}), forks=False)
    folders = {str(function.adapter) for function in deployment.functions}
    for option, readable in (("off", set()), ("libraries", folders)):
        changed = deployment.model_copy(update={"options": {"takeover": option}})
        seen = set(make_plan(changed, forks=False).configuration("f0").later)
        assert seen & folders == readable
