"""Endurance: ``python -m tests.faults.soak --minutes M --functions N --rate R --out FILE``; with
``--device cuda``, on a card.

Calls every function once, so that what a gateway keeps of each is there. Then sends at a constant
rate to many functions. At isolation level ``function`` most of them have no
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
from dataclasses import asdict
from pathlib import Path

import psutil

from systems.registry import system_class
from systems.runtime.process_memory import anonymous_bytes

from . import device_memory, process_series, process_tree, stage
from .device_memory import Reading
from .soak_load import call_each, load
from .soak_plan import Plan, Sample, Watched
from .soak_record import record as record_of
from .target import Target

EVERY_S = 5.0


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
    watched = Watched()
    try:
        soak(plan, watched)
    finally:
        _keep(watched.samples, options.out.with_suffix(".samples"))
        record = record_of(plan, watched)
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for name, found in record["series"].items():
        print(name, found, file=sys.stderr)
    return 0 if record["flat"] and not record["failed"] and not record["left"] else 1


def _keep(samples: list[Sample], path: Path) -> None:
    """Write the samples, a line each, to look into a series that is not flat."""
    lines = [json.dumps(asdict(sample)) + "\n" for sample in samples]
    path.write_text("".join(lines), encoding="utf-8")


def soak(plan: Plan, watched: Watched) -> None:
    limits = stage.LIMITS.model_copy(update={"keep_alive_s": plan.keep_alive_s})
    wanted = plan.target.deployment(limits, plan.names, plan.level, plan.options)
    read = device_memory.reader(plan.target.device)
    before = read()
    with system_class("serverless-lora")() as system:
        endpoint = system.deploy(wanted)
        gateway = psutil.Process(endpoint.pids[0])
        asyncio.run(_run(endpoint.base_url, gateway, plan, read, watched))
        mine = process_tree.below(gateway.pid)
        seen = system.system_trace()
    measured = seen.requests[plan.functions :]
    watched.instances = len({request.instance_id for request in measured})
    watched.left = device_memory.not_back(before, read, mine, stage.BACK_S)


async def _run(
    url: str, gateway: psutil.Process, plan: Plan, read: device_memory.Read, watched: Watched
) -> None:
    await call_each(url, plan.names)
    start, stop = time.monotonic(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watching = asyncio.create_task(_watch(gateway, read, watched.samples, start))
    print("it sends", file=sys.stderr, flush=True)
    await load(url, plan, watched, start, stop)
    watching.cancel()


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
        gateway_anonymous_mb=_anonymous_mb([gateway]),
        template_anonymous_mb=_anonymous_mb(templates),
        gateway_mb=gateway.memory_full_info().uss / 1e6,
        template_mb=sum(each.memory_full_info().uss for each in templates) / 1e6,
        descriptors=gateway.num_fds(),
        processes=process_series.sample(t_s, [each.pid for each in templates], reading),
    )


def _anonymous_mb(processes: list[psutil.Process]) -> float:
    return sum(anonymous_bytes(each.pid) or 0 for each in processes) / 1e6


if __name__ == "__main__":
    sys.exit(main())
