"""A ready prewarmed process takes over an instance that wakes; its old process ends unheard. All
processes are puppets, as if on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from systems.interface import Limits
from systems.runtime import processor
from systems.runtime.calls import Failure
from systems.runtime.stages import start_type, waited_for
from systems.serverless.core.artifacts import Artifact
from systems.serverless.core.instance import Phase
from tests.deployments import tiny_deployment

from .puppets import Puppet, Stage, play, said

KEEP_ALIVE_S = 0.05
Play = Callable[..., None]


@pytest.fixture
def on_card(tmp_path: Path) -> Play:
    """Runs a scene with one prewarmed process, on a deployment as if on a GPU."""
    limits = Limits(max_batch_size=4, max_context_tokens=512, keep_alive_s=KEEP_ALIVE_S)
    card = tiny_deployment(limits, ("f0", "f1", "f2"), gib=8, device="cuda:0")
    options = {"prewarmed": 1, "template_at_deployment": True}

    def run(scene: Callable[[Stage], Any], isolation: str = "function", **more: Any) -> None:
        level = card.model_copy(update={"isolation": isolation})
        play(level, tmp_path, scene, forks=True, **{**options, **more})

    return run


def pool_of(stage: Stage) -> list[Puppet]:
    """The ready processes of the pool."""
    pool = stage.node._prewarmed._pool.prewarmed
    children = [prewarmed.child for prewarmed in pool if prewarmed.ready]
    return [puppet for puppet in stage.puppets if puppet.child in children]


async def asleep(stage: Stage, function: str = "f0") -> Puppet:
    """A parked instance of ``function`` that has served a request, with a ready pool."""
    puppet = await stage.idle(function)
    await stage.until(lambda: pool_of(stage))
    (instance,) = stage.platform.controller.state.members(function).all.values()
    await stage.until(lambda: instance.phase is Phase.ASLEEP)
    return puppet


async def finishes(stage: Stage, puppet: Puppet) -> None:
    await stage.until(lambda: puppet.asked("run"))
    puppet.prefills(finished="stop")
    await stage.until(lambda: not stage.platform.controller.state.requests)


def test_a_prewarmed_process_becomes_the_instance_that_wakes(on_card: Play) -> None:
    async def scene(stage: Stage) -> None:
        sleeper = await asleep(stage)
        (ready,) = pool_of(stage)
        (instance,) = stage.node.instances
        call = stage.call("f0")
        await finishes(stage, ready)
        assert [type(each) for each in said(call)] != [Failure]
        assert list(stage.node.instances) == [instance], "the same instance"
        kinds = [told["kind"] for told in ready.heard]
        first = kinds.index("begin")
        assert kinds[first : first + 4] == ["begin", "configure", "load", "load"]
        assert ready.heard[first + 1]["group"] == "f0"
        assert [told["artifact"] for told in ready.asked("load")][-2:] == ["adapter", "kernels"]
        assert sleeper.asked("stop")
        assert [told["artifact"] for told in sleeper.asked("load")].count("kernels") == 1
        await stage.until(lambda: sleeper.child.ended)
        assert list(stage.node.instances) == [instance], "its end is not the instance's"

    on_card(scene)


def test_the_request_is_warm_and_waited_for_the_adapter_and_kernels(on_card: Play) -> None:
    async def scene(stage: Stage) -> None:
        await asleep(stage)
        (ready,) = pool_of(stage)
        call = stage.call("f0")
        await finishes(stage, ready)
        assert call.placed_ns is not None
        waited = waited_for(call.provisioning, call.received_ns, call.placed_ns)
        stages = [span.stage.value for span in waited if span.stage.value != "queue"]
        assert stages == ["adapter", "kernels"]
        assert start_type(waited, started_for_it=call.started_for_it).value == "warm"

    on_card(scene)


def test_the_controller_knows_what_is_ready_and_what_a_takeover_takes(on_card: Play) -> None:
    async def scene(stage: Stage) -> None:
        await asleep(stage)
        state = stage.platform.controller.state
        learnt = state.estimates("f0")
        assert state.prewarmed == {"tiny": {"cuda:0": 1}}
        kernels_ns, fork_ns = learnt.delay_ns[Artifact.KERNELS], learnt.fork_ns
        assert fork_ns > kernels_ns > 0
        assert learnt.takeover_ns == 0
        (ready,) = pool_of(stage)
        ready.does.discard("load")
        stage.call("f0")
        await stage.until(lambda: ready.asked("begin"))
        assert state.prewarmed == {"tiny": {}}
        ready.does.add("load")
        for artifact in ("adapter", "kernels"):
            ready.says("loaded", artifact=artifact)
        await finishes(stage, ready)
        assert learnt.takeover_ns > 0
        assert learnt.delay_ns[Artifact.KERNELS] == kernels_ns
        await stage.until(lambda: state.prewarmed == {"tiny": {"cuda:0": 1}})

    on_card(scene)


def test_what_the_old_process_says_later_changes_nothing(on_card: Play) -> None:
    async def scene(stage: Stage) -> None:
        sleeper = await asleep(stage)
        sleeper.does.discard("stop")
        (ready,) = pool_of(stage)
        call = stage.call("f0", max_tokens=4)
        await stage.until(lambda: ready.asked("run"))
        sleeper.says("prefilled", batch=ready.asked("run")[-1]["batch"], start_ns=1, t_ns=2,
                     computed_ns=1, tokens=[(call.id, 13, "stop")])  # fmt: skip
        sleeper.says("loaded", artifact="kernels")
        sleeper.says("failed", reason="no memory")
        await stage.all_heard()
        assert said(call) == []
        sleeper.dies()
        await stage.until(lambda: sleeper.child.ended)
        ready.prefills(token=7, finished="stop")
        await stage.until(lambda: not stage.platform.controller.state.requests)
        assert [answer.ids for answer in said(call)] == [(7,)]  # type: ignore[union-attr]

    on_card(scene)


def test_without_a_ready_process_it_wakes_as_before(on_card: Play) -> None:
    async def scene(stage: Stage) -> None:
        sleeper = await asleep(stage)
        assert stage.node._prewarmed.take("tiny", "cuda:0") is not None
        stage.call("f0")
        await stage.until(lambda: len(sleeper.asked("run")) == 2)
        sleeper.prefills(finished="stop")
        await stage.until(lambda: not stage.platform.controller.state.requests)
        assert not sleeper.asked("stop")

    on_card(scene)


def test_another_takes_the_place_once_the_old_one_has_ended(on_card: Play) -> None:
    async def scene(stage: Stage) -> None:
        sleeper = await asleep(stage)
        sleeper.does.discard("stop")
        (ready,) = pool_of(stage)
        stage.call("f0")
        await stage.until(lambda: ready.asked("run"))
        await stage.all_heard()
        assert pool_of(stage) == [], "the old process holds the memory of the pool's"
        sleeper.dies()
        await stage.until(lambda: pool_of(stage))

    on_card(scene)


def test_one_that_dies_as_it_takes_over_is_an_instance_that_died(on_card: Play) -> None:
    async def scene(stage: Stage) -> None:
        sleeper = await asleep(stage)
        (ready,) = pool_of(stage)
        ready.does.discard("load")
        call = stage.call("f0")
        await stage.until(lambda: ready.asked("begin"))
        ready.dies()
        await stage.until(lambda: ready.child.ended and sleeper.child.ended)
        await stage.until(lambda: stage.node.instances and stage.of("f0").asked("run"))
        stage.of("f0").prefills(finished="stop")
        await stage.until(lambda: not stage.platform.controller.state.requests)
        assert not any(isinstance(answer, Failure) for answer in said(call))
        assert stage.of("f0") not in (ready, sleeper)

    on_card(scene)


def test_one_whose_slot_does_not_fit_the_adapter_takes_nothing_over(
    on_card: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(stage: Stage) -> None:
        sleeper = await asleep(stage)
        adapters = stage.node._plan.adapters
        wider = {at: replace(lora, rank=64) for at, lora in adapters["f0"].loras.items()}
        monkeypatch.setitem(adapters, "f0", replace(adapters["f0"], loras=wider))
        stage.call("f0")
        await stage.until(lambda: len(sleeper.asked("run")) == 2)
        assert len(pool_of(stage)) == 1

    on_card(scene)


def test_one_that_starts_from_the_pool_is_taken_over_only_when_it_wakes(on_card: Play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.idle("f0")
        await stage.until(lambda: len(pool_of(stage)) == 2)
        started = await stage.idle("f1")
        stopped = [puppet for puppet in stage.puppets if puppet.asked("stop")]
        assert stopped == [], "it has its engine, whatever else is ready"
        (instance,) = stage.platform.controller.state.members("f1").all.values()
        await stage.until(lambda: instance.phase is Phase.ASLEEP and pool_of(stage))
        stage.call("f1")
        await stage.until(lambda: stage.of("f1") is not started)
        await finishes(stage, stage.of("f1"))
        assert started.asked("stop")

    on_card(scene, prewarmed=2)


def test_an_instance_of_several_functions_is_taken_over_without_an_adapter(on_card: Play) -> None:
    async def scene(stage: Stage) -> None:
        stage.call("tiny")
        await stage.until(lambda: any(puppet.asked("run") for puppet in stage.puppets))
        sleeper = next(puppet for puppet in stage.puppets if puppet.asked("run"))
        await finishes(stage, sleeper)
        (instance,) = stage.platform.controller.state.instances.values()
        await stage.until(lambda: instance.phase is Phase.ASLEEP and pool_of(stage))
        (ready,) = pool_of(stage)
        stage.call("tiny")
        await finishes(stage, ready)
        told = [told["artifact"] for told in ready.asked("load")]
        assert told == ["libraries", "backbone", "kernels", "kernels"]
        await stage.until(lambda: sleeper.child.ended)
        assert len(stage.node.instances) == 1

    on_card(scene, isolation="backbone")


def test_processor_time_of_both_counts_for_the_function(
    on_card: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: dict[int, int] = {}
    monkeypatch.setattr(processor, "used_ns", lambda pid: used.get(pid, 0))

    async def scene(stage: Stage) -> None:
        seen = []
        lifecycle = stage.node._lifecycle
        lifecycle._reports = replace(
            lifecycle._reports,
            metered=lambda instance, metered: seen.append((instance, metered.used_ns)),
        )
        sleeper = await asleep(stage)
        (ready,) = pool_of(stage)
        assert sleeper.child.pid is not None
        assert ready.child.pid is not None
        used.update({sleeper.child.pid: 5_000, ready.child.pid: 900})
        sleeper.does.discard("stop")
        stage.call("f0")
        await finishes(stage, ready)
        used[sleeper.child.pid] += 10
        sleeper.dies()
        await stage.until(lambda: sleeper.child.ended)
        used[ready.child.pid] += 300
        (instance,) = stage.node.instances.values()
        lifecycle.meter(instance)
        assert seen == [(instance.id, 5_000 + 10 + 300)]

    on_card(scene)


def test_the_end_of_the_platform_ends_the_old_process_too(on_card: Play) -> None:
    async def scene(stage: Stage) -> None:
        sleeper = await asleep(stage)
        sleeper.does.discard("stop")
        (ready,) = pool_of(stage)
        stage.call("f0")
        await stage.until(lambda: ready.asked("run"))
        started = len(stage.puppets)
        await stage.node.close()
        assert sleeper.child.ended
        assert ready.child.ended
        assert len(stage.puppets) == started, "none is made in the place of one that ended"

    on_card(scene)
