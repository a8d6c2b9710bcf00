"""Endurance: ``python -m tests.faults.soak --minutes M --functions N --rate R --out FILE``.

Sends at a constant rate to many functions, most of which have no instance when they are called, so
that instances start and end all the time. Samples the resources of the platform every few seconds.
The Theil-Sen slope of each series and its 95 % interval show whether it grows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
from scipy import stats

from systems.registry import system_class

from . import stage
from .load import Answer, Request, ask

EVERY_S = 5.0
WARM_UP = 0.2
"""Share of the time that is not evaluated, because caches and pools still fill."""
GROWS = {"gateway_mb": 0.02, "template_mb": 0.02, "descriptors": 0.05, "ttft_ms": 0.10}
"""Growth over the measured time, as a share of the median, up to which a series counts as flat."""
_LIMITS = stage.LIMITS.model_copy(update={"keep_alive_s": 2.0})


@dataclass(frozen=True, slots=True)
class Sample:
    """``t_s``: seconds from the start. Memory is the unique set size (USS) of a process."""

    t_s: float
    gateway_mb: float
    template_mb: float
    descriptors: int
    processes: int


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--functions", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=4.0, help="requests a second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("soak.json"))
    options = parser.parse_args()
    record = soak(options.minutes, options.functions, options.rate, options.seed)
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for name, found in record["series"].items():
        print(name, found, file=sys.stderr)
    return 0 if record["flat"] and not record["failed"] else 1


def soak(minutes: float, functions: int, rate: float, seed: int) -> dict[str, Any]:
    names = [f"f{index}" for index in range(functions)]
    wanted = stage.deployment(names, limits=_LIMITS)
    # No container is kept alive: each call of an idle function starts a process.
    wanted = wanted.model_copy(update={"options": {"container_keep_alive_s": 0.0}})
    with system_class("serverless-lora")() as system:
        endpoint = system.deploy(wanted)
        gateway = psutil.Process(endpoint.pids[0])
        answers, samples = asyncio.run(
            _run(endpoint.base_url, gateway, names, minutes * 60, rate, seed)
        )
        seen = system.system_trace()
    started = len({request.instance_id for request in seen.requests})
    return _record(answers, samples, minutes, functions, rate, seed, started)


async def _run(
    url: str, gateway: psutil.Process, names: list[str], seconds: float, rate: float, seed: int
) -> tuple[list[Answer], list[Sample]]:
    samples: list[Sample] = []
    start = time.monotonic()
    watching = asyncio.create_task(_watch(gateway, samples, start))
    answers = await _load(url, names, seconds, rate, np.random.default_rng(seed), start)
    watching.cancel()
    return answers, samples


async def _load(
    url: str, names: list[str], seconds: float, rate: float, random: np.random.Generator,
    start: float,
) -> list[Answer]:  # fmt: skip
    """Send at a constant rate (open loop), each request to a randomly drawn function."""
    tasks = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for number in range(int(seconds * rate)):
            request = Request(number / rate, str(random.choice(names)), 8, stream=True)
            await asyncio.sleep(max(0.0, start + request.at_s - time.monotonic()))
            coming = ask(session, url, request, stage.REQUEST_TIMEOUT_S + 5, start)
            tasks.append(asyncio.create_task(coming))
        return list(await asyncio.gather(*tasks))


async def _watch(gateway: psutil.Process, samples: list[Sample], start: float) -> None:
    while True:
        samples.append(_sample(gateway, time.monotonic() - start))
        await asyncio.sleep(EVERY_S)


def _sample(gateway: psutil.Process, t_s: float) -> Sample:
    template = [child for child in gateway.children() if "zygote" in " ".join(child.cmdline())]
    return Sample(
        t_s=round(t_s, 2),
        gateway_mb=gateway.memory_full_info().uss / 1e6,
        template_mb=sum(each.memory_full_info().uss for each in template) / 1e6,
        descriptors=gateway.num_fds(),
        processes=len(gateway.children(recursive=True)),
    )


def _record(
    answers: list[Answer], samples: list[Sample], minutes: float, functions: int, rate: float,
    seed: int, started: int,
) -> dict[str, Any]:  # fmt: skip
    series = _series(answers, samples, minutes * 60)
    return {
        "seed": seed,
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "minutes": minutes,
        "functions": functions,
        "rate_rps": rate,
        "requests": len(answers),
        "instances_started": started,
        "answers": dict(Counter(answer.how for answer in answers)),
        "failed": sum(answer.how != "ok" for answer in answers),
        "series": series,
        "flat": all(found["flat"] for found in series.values()),
    }


def _series(answers: list[Answer], samples: list[Sample], seconds: float) -> dict[str, Any]:
    after = WARM_UP * seconds
    late = [sample for sample in samples if sample.t_s >= after]
    times = [sample.t_s for sample in late]
    found = {
        name: slope(times, [float(getattr(sample, name)) for sample in late], seconds - after, most)
        for name, most in GROWS.items()
        if name != "ttft_ms"
    }
    told = [a for a in answers if a.first_s is not None and a.sent_s >= after]
    first_ms = [1e3 * float(a.first_s or 0) for a in told]
    sent = [a.sent_s for a in told]
    found["ttft_ms"] = slope(sent, first_ms, seconds - after, GROWS["ttft_ms"])
    return found


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
