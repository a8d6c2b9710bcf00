"""Regimes of a simulated engine: continuous batching, and batches that run to completion."""

from __future__ import annotations

from pathlib import Path

import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function, RequestTrace
from systems.models.sizes import model_size
from systems.registry import system_class
from systems.serverless.live.plan import make_plan
from systems.serverless.options import Options
from systems.serverless.simulated.run import simulate
from systems.simulation.arrival import Arrival, OpenLoad
from systems.simulation.clock import Clock, Shared
from systems.simulation.latency_model import LatencyModel
from systems.simulation.profile import load_profile
from systems.simulation.regimes import REGIMES
from systems.simulation.work import Work
from systems.simulation.worker import Worker

CONTINUOUS, COMPLETION = "continuous", "run-to-completion"
SIZE = model_size("llama2-7b", "float16", 16, "cuda")
S = 1_000_000_000


def deployed(regime: str, isolation: str = "function") -> Deployment:
    return Deployment.model_validate(
        {
            "functions": [
                Function(id=f"f{i}", backbone="llama2-7b", adapter=Path(f"f{i}")) for i in range(2)
            ],
            "backbones": {"llama2-7b": Path("llama2-7b")},
            "devices": [Device(name="cuda:0", memory_bytes=44 * 10**9)],
            "dtype": "float16",
            "isolation": isolation,
            "options": {"regime": regime},
        }
    )


def served(regime: str) -> list[RequestTrace]:
    """Send f0 a request, and two more while it runs: to f0 and f1. Return them in this order."""
    deployment = deployed(regime)
    load = [("f0", 0), ("f1", 20), ("f0", 40), ("f0", 40.1), ("f0", 40.2)]
    arrivals = [Arrival(i, round(at * S), name, 128, 100) for i, (name, at) in enumerate(load)]
    policies = system_class("serverless-lora").policies(Options(**deployment.options))
    outcome = simulate(deployment, policies, load_profile("l40s"), OpenLoad(arrivals))
    return list(outcome.system_trace().requests[2:])


def test_what_comes_while_a_batch_runs_joins_it_or_waits_until_it_is_complete() -> None:
    first, second, third = served(CONTINUOUS)
    assert first.responded_ns is not None
    assert second.spans[-1].start_ns < first.responded_ns, "its first token comes before"
    first, second, third = served(COMPLETION)
    assert [each.batch_size for each in (first, second, third)] == [1, 2, 2]
    assert second.spans[-2].start_ns == first.responded_ns


@pytest.mark.parametrize("regime", [CONTINUOUS, COMPLETION])
def test_a_slot_is_free_when_its_request_or_its_batch_is_complete(regime: str) -> None:
    """Two answers of 3 and 9 tokens: each ends with its own last token, whoever frees the slot."""
    clock, finished = Clock(), dict[int, int]()
    model = LatencyModel(load_profile("l40s"), SIZE)
    worker = Worker(
        clock, Shared(clock, 1), model, lambda *_: None,
        lambda request: finished.__setitem__(request, clock.now), regime=REGIMES[regime],
    )  # fmt: skip
    short, long, only = Work(0, 16, 3), Work(1, 16, 9), Work(2, 16, 1)
    worker.run(0, [short, long, only])
    clock.run()
    assert only.last_ns < short.last_ns < long.last_ns == finished[1]
    ends = {CONTINUOUS: (short.last_ns, only.last_ns), COMPLETION: (long.last_ns, long.last_ns)}
    assert (finished[0], finished[2]) == ends[regime]
    rows = {CONTINUOUS: 1, COMPLETION: 3}[regime]
    assert long.last_ns - short.last_ns == pytest.approx(6 * model.step_ns(rows), rel=1e-6)


@pytest.mark.parametrize("name", ["l40s", "h100"])
def test_the_regime_presumed_of_the_paper_has_slots_and_steps_that_do_not_grow(name: str) -> None:
    own = load_profile(name)
    presumed = REGIMES[COMPLETION].applied(own)
    assert REGIMES[CONTINUOUS].applied(own) is own
    assert presumed.kv_slots
    before, after = (LatencyModel(each, SIZE) for each in (own, presumed))
    assert after.step_ns(1) == pytest.approx(before.step_ns(1))
    assert after.step_ns(64) == pytest.approx(after.step_ns(1))
    assert before.step_ns(64) > 1.1 * before.step_ns(1)
    assert "assumed" in presumed.decode_s.source, "what was changed says so"


def test_only_functions_by_themselves_and_in_virtual_time_run_to_completion() -> None:
    with pytest.raises(DeploymentError, match="set isolation=function"):
        simulate(
            deployed(COMPLETION, "backbone"),
            system_class("serverless-lora").policies(Options()),
            load_profile("l40s"),
            OpenLoad([]),
        )
    with pytest.raises(DeploymentError, match="simulated only"):
        make_plan(deployed(COMPLETION), forks=True)
