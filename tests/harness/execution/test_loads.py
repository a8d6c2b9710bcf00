"""Cells under one load have the same workload and schedule; any other has its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.cells.plan import CellPlan, plan_cells
from harness.execution.loads import Loads
from harness.experiment_files import load
from harness.replay import build_schedule
from workloads import catalogue

SHORT = {"duration_s": 60}


def plans() -> list[CellPlan]:
    two = [{"name": "serverless-lora"}, {"name": "serverless-llm"}]
    short = [{"name": "azure-bursty8", "overrides": SHORT}]
    return list(plan_cells(load("evaluation", {"systems": two, "workloads": short, "seeds": [1]})))


def _with(plan: CellPlan, **overrides: Any) -> CellPlan:
    return replace(plan, workload=plan.workload.model_copy(update={"overrides": overrides}))


def test_systems_under_one_load_have_the_same() -> None:
    one, other = plans()
    loads = Loads()
    assert one.system != other.system
    assert loads.workload(one) is loads.workload(other)
    assert loads.schedule(one, 1024) is loads.schedule(other, 1024)


def test_what_is_kept_is_of_no_other_load() -> None:
    plan, _ = plans()
    loads, found = Loads(), set()
    for each in (plan, replace(plan, seed=2), _with(plan, duration_s=90), plan):
        workload = catalogue.load(each.workload.name, seed=each.seed, **each.workload.overrides)
        for vocab_size in (1024, 32000):
            wanted = build_schedule(workload, seed=each.seed, vocab_size=vocab_size).sha256
            assert loads.schedule(each, vocab_size).sha256 == wanted
            found.add(wanted)
        assert loads.workload(each).requests.equals(workload.requests)
    assert len(found) == 6
