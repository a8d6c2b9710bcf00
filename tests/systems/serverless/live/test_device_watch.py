"""Instances that hold more device memory than they can need are ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from systems.interface import Deployment
from systems.runtime.liveness import Heartbeat, Monitored
from systems.serverless.live.device_watch import DeviceWatch, Held, most_bytes
from systems.serverless.live.plan import make_plan

MOST = 1 << 30
COUNTS = {"GPU-0": {1: MOST, 2: MOST + (1 << 20)}, "GPU-1": {1: 5 * MOST}}


@dataclass(eq=False)
class Process:
    pid: int | None
    heartbeat: Heartbeat = field(default_factory=Heartbeat)

    def ask(self) -> None: ...


def given_up(*held: Held) -> dict[int | None, str]:
    found: dict[int | None, str] = {}

    def give_up(process: Monitored, reason: str) -> None:
        found[process.pid] = reason

    async def look() -> None:
        watch = DeviceWatch(lambda: held, COUNTS.__getitem__, give_up)
        await watch.look()
        watch.close()

    asyncio.run(look())
    return found


def test_one_that_holds_more_than_its_bound_is_ended_and_no_other() -> None:
    processes = [Process(pid) for pid in (1, 2, 3, None)]
    found = given_up(*(Held(process, "GPU-0", MOST) for process in processes))
    assert found == {2: "1025 MiB on its device; at most 1024"}


def test_what_a_process_holds_counts_on_its_own_card() -> None:
    assert given_up(Held(Process(1), "GPU-0", MOST)) == {}
    assert list(given_up(Held(Process(1), "GPU-1", MOST))) == [1]


def test_the_bound_is_above_all_that_the_ledger_reserves(deployment: Deployment) -> None:
    plan = make_plan(deployment, forks=True)
    for group in plan.cluster.groups.values():
        batch = group.batch_limit * group.kv_bytes(deployment.limits.max_context_tokens)
        reserved = group.context_bytes + group.adapter_bytes + group.places_bytes + batch
        assert most_bytes(plan, group.id) > reserved + plan.layouts[group.backbone].nbytes
