"""The default limits of the serverless systems reject nothing in the shipped experiments, and the
manifest names them; what they reject is an outcome of its own."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from harness.cells.plan import samples
from harness.experiment import load, shipped
from systems.registry import system_class
from systems.serverless.options import Options
from workloads import catalogue
from workloads.trace import Workload


@cache
def workload(name: str, seed: int, overrides: frozenset[tuple[str, object]]) -> Workload:
    return catalogue.load(name, seed=seed, **dict(overrides))


def most_within(arrivals_ns: np.ndarray, seconds: float) -> int:
    """Return the largest number of arrivals in any ``seconds``."""
    ends = np.searchsorted(arrivals_ns, arrivals_ns + seconds * 1e9)
    return int((ends - np.arange(len(arrivals_ns))).max(initial=0))


@pytest.mark.parametrize("name", shipped())
def test_no_shipped_experiment_can_reach_a_default_limit(name: str) -> None:
    """Even if none of its requests were answered before its timeout."""
    experiment, limits = load(name), Options()
    assert limits.function_waiting is not None
    assert limits.caller_in_flight is not None
    for plan in samples(experiment):
        drawn = plan.workload.overrides.items()
        sent = workload(plan.workload.name, plan.seed, frozenset(drawn)).requests
        due_ns, functions = sent["arrival_ns"].to_numpy(), sent["function"].to_numpy()
        kept_s = max(experiment.request_timeout_s, plan.deployment.limits.request_timeout_s)
        of_one = [most_within(due_ns[functions == each], kept_s) for each in np.unique(functions)]
        assert max(of_one) < limits.function_waiting
        assert most_within(due_ns, kept_s) < limits.caller_in_flight


def test_the_manifest_names_all_limits() -> None:
    told = system_class("serverless-lora")().info().options
    limits = {name for name in told if name.startswith(("function_", "caller_"))}
    assert limits == {
        *(f"function_{of}" for of in ("in_flight", "waiting", "rate", "burst")),
        *(f"caller_{of}" for of in ("in_flight", "rate", "burst")),
    }
    assert told["function_waiting"] == Options().function_waiting
    assert told["fair_shares"] is False
    others = {told[name] for name in ("function_in_flight", "function_rate", "caller_rate")}
    assert others == {None}, "unlimited"
