"""Systems in virtual time, with the decision core that also runs the live ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from systems.interface import Deployment, Device, Function, Limits, RequestTrace, StartType
from systems.models.sizes import model_size
from systems.registry import system_class
from systems.serverless.options import Options
from systems.serverless.simulated.priors import function_size
from systems.serverless.simulated.run import Outcome, simulate
from systems.simulation.arrival import Arrival, OpenLoad
from systems.simulation.latency_model import LatencyModel
from systems.simulation.profile import load_profile

SYSTEMS = (
    "serverless-lora",
    "serverless-lora-no-sharing",
    "serverless-lora-no-preloading",
    "serverless-lora-no-offloading",
    "serverless-lora-no-adaptive-batching",
    "serverless-llm",
    "instainfer",
)
LOAD = [(f"f{i % 3}", 0.7 * i) for i in range(40)]


def run(
    name: str,
    load: list[tuple[str, float]],
    *,
    tokens: int = 8,
    options: Mapping[str, Any] | None = None,
    devices: int = 1,
    gigabytes: float = 44,
    **limits: Any,
) -> Outcome:
    functions = sorted({function for function, _ in load})
    deployment = Deployment(
        functions=tuple(
            Function(id=name, backbone="llama2-7b", adapter=Path(name)) for name in functions
        ),
        backbones={"llama2-7b": Path("llama2-7b")},
        devices=tuple(
            Device(name=f"cuda:{i}", memory_bytes=int(gigabytes * 1e9)) for i in range(devices)
        ),
        dtype="float16",
        limits=Limits(**{"keep_alive_s": 13, "max_context_tokens": 1024, **limits}),
        options=options or {},
    )
    cls = system_class(name)
    arrivals = [
        Arrival(i, round(at_s * 1e9), function, 128, tokens)
        for i, (function, at_s) in enumerate(load)
    ]
    policies = cls.policies(Options.model_validate(dict(options or {})))
    return simulate(deployment, policies, load_profile("l40s"), OpenLoad(arrivals))


def stages(request: RequestTrace) -> dict[str, float]:
    """Return the seconds of each stage."""
    found: dict[str, float] = {}
    for span in request.spans:
        seconds = (span.end_ns - span.start_ns) / 1e9
        found[span.stage.value] = found.get(span.stage.value, 0) + seconds
    return found


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_request_is_answered_and_its_stages_add_up(name: str) -> None:
    outcome = run(name, LOAD)
    system_trace = outcome.system_trace()
    assert len(system_trace.requests) == len(LOAD)
    for request in system_trace.requests:
        assert request.responded_ns is not None
        total_ns = sum(span.end_ns - span.start_ns for span in request.spans)
        assert total_ns == request.responded_ns - request.received_ns


@pytest.mark.parametrize("name", SYSTEMS)
def test_memory_stays_within_the_device_and_comes_back(name: str) -> None:
    steps = run(name, LOAD, gigabytes=20).system_trace().memory
    held: dict[tuple[Any, ...], int] = {}
    for step in steps:
        held[step.device, step.owner, step.function_id] = step.bytes
        assert sum(n for key, n in held.items() if key[0] == "cuda:0") <= 20e9
    assert sum(held.values()) == 0


def test_the_same_arrivals_give_the_same_evidence() -> None:
    assert (
        run("serverless-lora", LOAD).system_trace() == run("serverless-lora", LOAD).system_trace()
    )


def test_a_second_function_shares_the_backbone_that_is_there() -> None:
    first, second = run("serverless-lora", [("f0", 0), ("f1", 30)]).system_trace().requests
    assert stages(first)["backbone"] > 3
    assert stages(second)["backbone"] == pytest.approx(0.022)
    assert second.start_type is StartType.COLD


def test_two_prefills_at_once_take_twice_as_long_each() -> None:
    warm = [("f0", 0), ("f1", 8)]
    options = {"batch_hold": "contended"}
    alone = run("serverless-lora-no-adaptive-batching", [*warm, ("f0", 15)], options=options)
    both = run(
        "serverless-lora-no-adaptive-batching", [*warm, ("f0", 15), ("f1", 15)], options=options
    )
    once = stages(alone.system_trace().requests[2])["prefill"]
    assert stages(both.system_trace().requests[2])["prefill"] == pytest.approx(2 * once, rel=0.01)


def test_a_request_that_waits_too_long_is_timed_out_and_forgotten() -> None:
    outcome = run("serverless-lora", [("f0", 0)], request_timeout_s=1.0)
    assert outcome.seen(0)["status"] == "timeout"
    assert outcome.platform.controller.state.requests == {}


def test_a_queue_past_hope_is_shed_where_that_is_asked_for() -> None:
    load = [("f0", 0.0)] * 200
    statuses = {
        run("serverless-lora", load, options={"shed": shed}, max_batch_size=4).seen(199)["status"]
        for shed in (True, False)
    }
    assert statuses == {"http_429", "ok"}


def test_a_flood_is_spread_over_devices() -> None:
    requests = run("serverless-lora", [("f0", 0.0)] * 64, devices=2).system_trace().requests
    assert len({request.instance_id for request in requests}) == 2


@pytest.mark.parametrize("name", ["serverless-lora", "serverless-llm", "instainfer"])
def test_every_system_reads_a_backbone_from_the_disk_once_a_node(name: str) -> None:
    """The instance and its copy are gone before the second call."""
    keep = {"container_keep_alive_s": 1, "shared_keep_alive_s": 1}
    outcome = run(name, [("f0", 0), ("f0", 60)], options=keep, keep_alive_s=1)
    first, second = (stages(each) for each in outcome.system_trace().requests)
    assert first["backbone"] == pytest.approx(13.48 / 3.217, rel=0.01)
    assert second["backbone"] == pytest.approx(13.48 / 10.75, rel=0.05)


@pytest.mark.parametrize(("name", "known"), [("l40s", True), ("h100", False)])
def test_a_controller_knows_durations_beforehand_if_functions_are_profiled_offline(
    name: str, known: bool
) -> None:
    """Those of live platforms never are."""
    size = model_size("llama2-7b", "float16", 16, "cuda")
    found = function_size(LatencyModel(load_profile(name), size))
    assert found.adapter_bytes == size.adapter_bytes
    durations = (found.law.first_ns, found.step_ns, *found.delay_ns.values())
    assert any(durations) == known


def test_every_node_of_the_profile_is_a_host_with_a_template_of_its_own() -> None:
    """Twelve devices are two nodes. Ten functions at once take ten devices, and those of the second
    node wait for its own template."""
    at_once = [(f"f{i}", 0.0) for i in range(10)]
    outcome = run("serverless-lora", at_once, devices=12, max_batch_size=1)
    state, processes = outcome.platform.controller.state, outcome.platform.kept.activities
    hosts = {each: state.devices[each].spec.host for each in state.devices}
    assert sorted(set(hosts.values())) == ["host-0", "host-1"]
    used = {hosts[each.device] for each in processes}
    timelines = outcome.platform.templates.timelines
    started = {host for host, template in timelines.items() if tuple(template.spans)}
    assert started == used == {"host-0", "host-1"}
    assert set(run("serverless-lora", LOAD, devices=8).platform.controller.state.hosts) == {"host"}
