"""Time the decisions of the controller and the simulator, for deployments of growing size.

The paper reports up to 6 ms per decision at 8 functions. ``extra_info`` has the percentiles of
single decisions (µs) and the simulated requests per second.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from systems.grouping import groups
from systems.interface import Deployment, Device, Function, Isolation, Limits
from systems.models.sizes import model_size
from systems.serverless.options import Options
from systems.serverless.simulated.platform import Platform
from systems.serverless.simulated.run import build_cluster_spec
from systems.serverless_lora import ServerlessLoRA
from systems.simulation.arrival import Arrival
from systems.simulation.latency_model import LatencyModel
from systems.simulation.profile import load_profile
from workloads.streams import stream

GIGA = 10**9


TENANTS = 25


def platform(functions: int, devices: int, isolation: Isolation = "function") -> Platform:
    """Make a platform with functions on four 7B backbones. A device holds one backbone and about
    twenty instances of one function, so that with many functions every start must evict something.
    Functions belong to ``TENANTS`` tenants in turn; instances of several have 16 places."""
    names = [f"f{i}" for i in range(functions)]
    paths = {f"b{i}": Path(f"b{i}") for i in range(4)}
    deployment = Deployment(
        functions=tuple(
            Function(
                id=name, backbone=f"b{i % 4}", adapter=Path(name), tenant=f"t{i // 4 % TENANTS}"
            )
            for i, name in enumerate(names)
        ),
        backbones=paths,
        devices=tuple(Device(name=f"cuda:{i}", memory_bytes=44 * GIGA) for i in range(devices)),
        dtype="float16",
        limits=Limits(keep_alive_s=30, max_batch_size=16),
        isolation=isolation,
    )
    profile = load_profile("h100")
    size = model_size("llama2-7b", "float16", 16, "cuda")
    latency = {
        group: LatencyModel(profile, size)
        if len(members) == 1
        else LatencyModel.of_grouped(*profile.of_grouped("float16"), size)
        for group, members in groups(deployment.functions, isolation).items()
    }
    policies = ServerlessLoRA.policies(Options())
    cluster = build_cluster_spec(deployment, policies, profile, latency)
    return Platform(cluster, policies, profile, latency, timeout_ns=600 * GIGA)


def arrivals(functions: int, requests: int, per_second: float) -> list[Arrival]:
    """Draw Poisson arrivals of functions by Zipf's law with exponent 1, as S-LoRA's synthetic
    workloads do."""
    draw = stream(7, "decisions", functions)
    at_s = np.cumsum(draw.exponential(1 / per_second, requests))
    weights = 1 / np.arange(1, functions + 1)
    whose = draw.choice(functions, requests, p=weights / weights.sum())
    return [
        Arrival(i, round(at * 1e9), f"f{function}", 128, 16)
        for i, (at, function) in enumerate(zip(at_s, whose, strict=True))
    ]


def play(target: Platform, load: list[Arrival], took_ns: list[int] | None) -> None:
    if took_ns is not None:
        handle = target.controller.handle

        def timed(event: Any, now_ns: int) -> Any:
            # Time of this thread only, since other programs also use the machine.
            start = time.thread_time_ns()
            actions = handle(event, now_ns)
            took_ns.append(time.thread_time_ns() - start)
            return actions

        target.controller.handle = timed  # type: ignore[method-assign]
    for each in load:
        target.clock.run_until(each.at_ns)
        target.submit(each)
    target.clock.run()
    assert all(call.status == "ok" for call in target.calls.values())


def _scaled(benchmark: Any, requests: int) -> int:
    """Return a small number of requests if nothing is measured and the test only has to run."""
    return 200 if benchmark.disabled else requests


_SIZES = {
    "8-functions-8-gpus": (8, 8, 2_000, 2),
    "1000-functions-16-gpus": (1_000, 16, 20_000, 30),
    "10000-functions-1000-gpus": (10_000, 1_000, 60_000, 1_000),
}


# Collections over all objects of a simulation would count as time of the decisions that they
# interrupt; simulated runs are without them too.
@pytest.mark.benchmark(disable_gc=True)
@pytest.mark.parametrize(
    ("functions", "devices", "requests", "per_second", "isolation"),
    [
        pytest.param(*size, isolation, id=f"{name}-{isolation}")
        for name, size in _SIZES.items()
        for isolation in get_args(Isolation)
    ],
)
def test_a_decision(
    benchmark: Any,
    functions: int,
    devices: int,
    requests: int,
    per_second: float,
    isolation: Isolation,
) -> None:
    load = arrivals(functions, _scaled(benchmark, requests), per_second)
    took_ns: list[int] = []
    benchmark.pedantic(
        play,
        setup=lambda: ((platform(functions, devices, isolation), load, took_ns), {}),
        rounds=1,
    )
    p50, p99, most = np.percentile(np.array(took_ns) / 1e3, [50, 99, 100])
    benchmark.extra_info.update(decisions=len(took_ns), p50_us=p50, p99_us=p99, max_us=most)


@pytest.mark.parametrize("requests", [100_000, 1_000_000])
def test_a_simulation_of_a_thousand_gpus(benchmark: Any, requests: int) -> None:
    requests = _scaled(benchmark, requests)
    load = arrivals(10_000, requests, 1_000)
    benchmark.pedantic(play, setup=lambda: ((platform(10_000, 1_000), load, None), {}), rounds=1)
    if not benchmark.disabled:
        benchmark.extra_info["requests_per_s"] = requests / benchmark.stats.stats.mean
