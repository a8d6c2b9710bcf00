"""An instance of several functions that is under an attacker's control sends any message: other
groups are not affected, and a function's adapter that cannot be used fails this function alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from systems.interface import Deployment
from systems.runtime.calls import Failure, Tokens
from systems.serverless.live.adapters import memory_file
from systems.serverless.live.adapters.tier import _Packed

from .puppets import Puppet, Stage, play, said

Play = Callable[..., None]
TENANTS = {"f0": "acme", "f1": "acme", "f2": "other", "f3": "other"}


@pytest.fixture
def on_stage(deployment: Deployment, tmp_path: Path) -> Play:
    """Two tenants of two functions each, whose adapters are in the host tier."""
    functions = tuple(
        each.model_copy(update={"tenant": TENANTS[each.id]}) for each in deployment.functions
    )
    shared = deployment.model_copy(update={"functions": functions, "isolation": "tenant"})

    def run(scene: Callable[[Stage], Any], **options: Any) -> None:
        async def with_adapters(stage: Stage) -> None:
            for function in TENANTS:
                fd = memory_file.create(4096)
                memory_file.seal(fd)
                stage.node.adapters._packed[function] = _Packed(fd, 4096)
            await scene(stage)

        play(shared, tmp_path, with_adapters, **options)

    return run


def places(stage: Stage, function: str) -> dict[str, bool]:
    """The functions in places of the instance that serves ``function``; whether each is loaded."""
    (instance,) = stage.platform.controller.state.serving(
        stage.platform.plan.cluster.group_of(function).id
    )
    return {name: place.loaded for name, place in instance.places.items()}


async def two(stage: Stage) -> tuple[Puppet, Puppet, Any]:
    """An instance of the attacker's, and one of another tenant's, whose call runs."""
    mine, call = await stage.up("f0")
    theirs, victim = await stage.up("f2")
    assert mine is not theirs
    mine.prefills(finished="stop")
    await stage.all_heard()
    assert said(call) == [Tokens((7,), "stop")]
    used = [puppet.asked("request")[0]["request"]["adapter"] for puppet in (mine, theirs)]
    assert used == ["f0", "f2"], "the function decides, not the caller"
    return mine, theirs, victim


def test_only_adapters_that_it_was_sent_are_in_its_places(on_stage: Play) -> None:
    async def scene(stage: Stage) -> None:
        mine, theirs, victim = await two(stage)
        state = stage.platform.controller.state
        before = places(stage, "f0"), places(stage, "f2")
        assert before == ({"f0": True}, {"f2": True})
        for function in ("f1", "f2", "f3", "f0", "f0", "nobody"):
            mine.says("held", function=function)
        await stage.all_heard()
        assert (places(stage, "f0"), places(stage, "f2")) == before
        mine.does.discard("hold")
        waiting = stage.call("f1")
        await stage.until(lambda: [m for m in mine.asked("hold") if m["function"] == "f1"])
        assert state.requests[waiting.id].instance is None, "its adapter is not there yet"
        theirs.prefills(finished="stop")
        await stage.all_heard()
        assert said(victim) == [Tokens((7,), "stop")]
        assert not mine.child.ended
        assert not theirs.child.ended

    on_stage(scene)


def test_its_tokens_reach_no_request_of_another_group(on_stage: Play) -> None:
    async def scene(stage: Stage) -> None:
        mine, theirs, victim = await two(stage)
        mine.decodes((victim.id, 13, "stop"))
        mine.says(
            "prefilled",
            batch=2,
            start_ns=1,
            t_ns=2,
            computed_ns=1,
            tokens=[(victim.id, 13, "stop")],
        )
        mine.says("cancelled", request=victim.id)
        mine.says("refused", function="f2", reason="mine")
        await stage.all_heard()
        assert said(victim) == []
        theirs.prefills(finished="stop")
        await stage.all_heard()
        assert said(victim) == [Tokens((7,), "stop")]

    on_stage(scene)


def test_an_adapter_that_it_refuses_fails_this_function_alone(on_stage: Play) -> None:
    async def scene(stage: Stage) -> None:
        mine, theirs, victim = await two(stage)
        beside = stage.call("f0")
        await stage.until(lambda: len(mine.asked("run")) == 2)
        mine.does.discard("hold")
        refused = stage.call("f1")
        await stage.until(lambda: mine.asked("hold")[-1]["function"] == "f1")
        mine.says("refused", function="f1", reason="ranks\n\x1b[2J" + "9" * 9000)
        await stage.until(lambda: refused.done_ns is not None)
        (failure,) = said(refused)
        assert isinstance(failure, Failure)
        assert failure.status == 503
        line = "cannot start: f1: its adapter cannot be used: ranks [2J99"
        assert failure.reason.startswith(line)
        assert failure.reason.isprintable()
        assert len(failure.reason) < 1000
        assert places(stage, "f0") == {"f0": True}
        mine.prefills(finished="stop")
        theirs.prefills(finished="stop")
        await stage.all_heard()
        assert said(beside) == said(victim) == [Tokens((7,), "stop")]
        assert not mine.child.ended
        mine.does.add("hold")
        again, _ = await stage.up("f1")
        assert again is mine, "the next call tries again"

    on_stage(scene)


@pytest.mark.parametrize("function", ["f0", "f1", "f2", "nobody"])
def test_an_adapter_that_was_not_sent_is_not_refused(function: str, on_stage: Play) -> None:
    async def scene(stage: Stage) -> None:
        mine, theirs, victim = await two(stage)
        before = places(stage, "f0"), places(stage, "f2")
        mine.says("refused", function=function, reason="mine")
        await stage.all_heard()
        assert (places(stage, "f0"), places(stage, "f2")) == before
        theirs.prefills(finished="stop")
        await stage.all_heard()
        assert said(victim) == [Tokens((7,), "stop")]

    on_stage(scene)
