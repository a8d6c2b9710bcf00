"""Endurance: ``python -m tests.faults.soak --minutes M --functions N --rate R --out FILE``; with
``--device cuda``, on a card.

Sends at a constant rate to many functions. At isolation level ``function`` most of them have no
instance when they are called, so that instances start and end all the time; at level ``backbone``
they share one, which has places for some of their adapters. Samples the resources of the platform
every few seconds. The Theil-Sen slope of each series and its 95 % interval show whether it grows.
A run that is interrupted (SIGINT, SIGTERM) writes what it has seen.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
from scipy import stats

from harness.records.manifest import git
from systems.interface import Isolation
from systems.registry import system_class
from workloads.popularity import LAWS

from . import device_memory, process_series, process_tree, stage
from .device_memory import Reading
from .load import Answer, Request, ask
from .process_series import Processes
from .target import Target

EVERY_S = 5.0
WARM_UP = 0.2
"""Share of the time that is not evaluated, because caches and pools still fill."""
GROWS = {"gateway_mb": 0.02, "template_mb": 0.02, "descriptors": 0.05, "ttft_ms": 0.10}
"""Growth over the measured time, as a share of the median, up to which a series counts as flat."""
_ENDS_S = 5.0
"""How long a run that is interrupted waits for responses."""


@dataclass(frozen=True)
class Plan:
    """What a soak does. ``places``: adapters that a shared instance holds at the same time."""

    minutes: float
    functions: int
    rate: float
    seed: int
    target: Target
    level: Isolation
    places: int
    popularity: str
    keep_alive_s: float

    @property
    def names(self) -> list[str]:
        return [f"f{index}" for index in range(self.functions)]

    @property
    def options(self) -> dict[str, Any]:
        """No container is kept alive: each call of an idle function starts a process."""
        alone: dict[str, Any] = {"container_keep_alive_s": 0.0}
        if self.level == "function":
            return alone
        return alone | {"adapter_places": self.places, "backbones_at_deployment": True}


@dataclass(frozen=True, slots=True)
class Sample:
    """``t_s``: seconds from the start. Memory is the unique set size (USS) of a process."""

    t_s: float
    gateway_mb: float
    template_mb: float
    descriptors: int
    processes: Processes


@dataclass
class Watched:
    """What a soak has seen. ``seconds``: how long it sent; ``unfinished``: requests without an
    answer when it was interrupted; ``left``: memory of the device that was not given back."""

    answers: list[Answer] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False
    unfinished: int = 0
    instances: int = 0
    left: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--functions", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=4.0, help="requests a second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--gib", type=float, help="memory of the device that may be used")
    parser.add_argument("--level", choices=["function", "tenant", "backbone"], default="function")
    parser.add_argument("--places", type=int, default=64, help="of an instance of many functions")
    parser.add_argument("--popularity", choices=["uniform", "zipf"], default="uniform")
    parser.add_argument("--keep-alive", type=float, default=2.0, help="seconds")
    parser.add_argument("--out", type=Path, default=Path("soak.json"))
    options = parser.parse_args()
    plan = Plan(
        options.minutes, options.functions, options.rate, options.seed,
        Target(options.device, options.backbone, options.gib), options.level, options.places,
        options.popularity, options.keep_alive,
    )  # fmt: skip
    process_tree.adopt_orphans()
    watched = soak(plan)
    _keep(watched.samples, options.out.with_suffix(".samples"))
    record = _record(plan, watched)
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for name, found in record["series"].items():
        print(name, found, file=sys.stderr)
    return 0 if record["flat"] and not record["failed"] and not record["left"] else 1


def _keep(samples: list[Sample], path: Path) -> None:
    """Write the samples, a line each, to look into a series that is not flat."""
    lines = [json.dumps(asdict(sample)) + "\n" for sample in samples]
    path.write_text("".join(lines), encoding="utf-8")


def soak(plan: Plan) -> Watched:
    limits = stage.LIMITS.model_copy(update={"keep_alive_s": plan.keep_alive_s})
    wanted = plan.target.deployment(limits, plan.names, plan.level, plan.options)
    read = device_memory.reader(plan.target.device)
    before, watched = read(), Watched()
    with system_class("serverless-lora")() as system:
        endpoint = system.deploy(wanted)
        gateway = psutil.Process(endpoint.pids[0])
        asyncio.run(_run(endpoint.base_url, gateway, plan, read, watched))
        mine = process_tree.below(gateway.pid)
        seen = system.system_trace()
    watched.instances = len({request.instance_id for request in seen.requests})
    watched.left = device_memory.not_back(before, read, mine, stage.BACK_S)
    return watched


async def _run(
    url: str, gateway: psutil.Process, plan: Plan, read: device_memory.Read, watched: Watched
) -> None:
    start, stop = time.monotonic(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watching = asyncio.create_task(_watch(gateway, read, watched.samples, start))
    print("it sends", file=sys.stderr, flush=True)
    await _load(url, plan, watched, start, stop)
    watching.cancel()


async def _load(url: str, plan: Plan, watched: Watched, start: float, stop: asyncio.Event) -> None:
    """Send at a constant rate (open loop), each request to a randomly drawn function, until it is
    time or ``stop`` is set."""
    random, names = np.random.default_rng(plan.seed), plan.names
    shares = LAWS[plan.popularity]().shares(plan.functions)
    tasks = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for number in range(int(plan.minutes * 60 * plan.rate)):
            request = Request(number / plan.rate, str(random.choice(names, p=shares)), 8, True)
            if await _stopped(stop, start + request.at_s - time.monotonic()):
                break
            coming = ask(session, url, request, stage.REQUEST_TIMEOUT_S + 5, start)
            tasks.append(asyncio.create_task(coming))
        watched.seconds, watched.interrupted = time.monotonic() - start, stop.is_set()
        done, running = await _ended(tasks, stop)
        for task in running:
            task.cancel()
    watched.answers, watched.unfinished = [task.result() for task in done], len(running)


async def _stopped(stop: asyncio.Event, after_s: float) -> bool:
    """Wait; return early, and whether so, if ``stop`` is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), max(0.0, after_s))
    return stop.is_set()


async def _ended(
    tasks: list[asyncio.Task[Answer]], stop: asyncio.Event
) -> tuple[set[asyncio.Task[Answer]], set[asyncio.Task[Answer]]]:
    """Wait for all responses, for a short time only once ``stop`` is set; return those that came
    and those that did not."""
    done, running = set(tasks), set[asyncio.Task[Answer]]()
    while tasks:
        done, running = await asyncio.wait(tasks, timeout=_ENDS_S)
        if not running or stop.is_set():
            break
    return done, running


async def _watch(
    gateway: psutil.Process, read: device_memory.Read, samples: list[Sample], start: float
) -> None:
    while True:
        with contextlib.suppress(psutil.NoSuchProcess):
            samples.append(_sample(gateway, read(), time.monotonic() - start))
        await asyncio.sleep(EVERY_S)


def _sample(gateway: psutil.Process, reading: Reading, t_s: float) -> Sample:
    templates = process_tree.templates(gateway.pid)
    return Sample(
        t_s=round(t_s, 2),
        gateway_mb=gateway.memory_full_info().uss / 1e6,
        template_mb=sum(each.memory_full_info().uss for each in templates) / 1e6,
        descriptors=gateway.num_fds(),
        processes=process_series.sample(t_s, [each.pid for each in templates], reading),
    )


def _record(plan: Plan, watched: Watched) -> dict[str, Any]:
    series = _series(watched, watched.seconds, plan.target.kind)
    return {
        "seed": plan.seed,
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git(),
        "device": plan.target.kind,
        "card": device_memory.name(plan.target.device),
        "backbone": plan.target.backbone,
        "level": plan.level,
        "places": plan.places if plan.level != "function" else None,
        "popularity": plan.popularity,
        "keep_alive_s": plan.keep_alive_s,
        "minutes": round(watched.seconds / 60, 2),
        "minutes_planned": plan.minutes,
        "interrupted": watched.interrupted,
        "functions": plan.functions,
        "rate_rps": plan.rate,
        "requests": len(watched.answers),
        "unfinished": watched.unfinished,
        "instances_started": watched.instances,
        "answers": dict(Counter(answer.how for answer in watched.answers)),
        "failed": sum(answer.how != "ok" for answer in watched.answers),
        "left": watched.left,
        "of_ended_mb": _of_ended(watched.samples),
        "series": series,
        "flat": all(found["flat"] for found in series.values()),
    }


def _of_ended(samples: list[Sample]) -> dict[str, float]:
    """Return the device memory that processes held after their end: mean and highest sample."""
    held = [sample.processes.ended for sample in samples] or [0.0]
    return {"mean": round(float(np.mean(held)), 3), "most": round(max(held), 3)}


def _series(watched: Watched, seconds: float, kind: str) -> dict[str, Any]:
    after = WARM_UP * seconds
    late = [sample for sample in watched.samples if sample.t_s >= after]
    times = [sample.t_s for sample in late]
    series = {
        name: (times, [float(getattr(sample, name)) for sample in late])
        for name in GROWS
        if name != "ttft_ms"
    }
    told = [a for a in watched.answers if a.first_s is not None and a.sent_s >= after]
    series["ttft_ms"] = [a.sent_s for a in told], [1e3 * float(a.first_s or 0) for a in told]
    found = {
        name: slope(*points, seconds - after, GROWS[name])
        for name, points in series.items()
        if len(points[0]) >= process_series.POINTS
    }
    return found | process_series.series(
        [sample.processes for sample in late], seconds - after, slope, kind
    )


def slope(times: list[float], values: list[float], seconds: float, most: float) -> dict[str, Any]:
    """Return the growth over ``seconds`` by the median of slopes, with its 95 % interval. Flat
    means: the lower end of the interval is at most ``most`` times the median."""
    every = max(1, len(values) // 600)  # all pairs would be too many
    fit = stats.theilslopes(values[::every], times[::every], 0.95)
    median = float(np.median(values))
    growth, low, high = (
        float(each) * seconds for each in (fit.slope, fit.low_slope, fit.high_slope)
    )
    return {
        "median": round(median, 3),
        "growth": round(growth, 3),
        "ci95": [round(low, 3), round(high, 3)],
        "may_grow": round(most * median, 3),
        "n": len(values),
        "flat": low <= most * median,
    }


if __name__ == "__main__":
    sys.exit(main())
