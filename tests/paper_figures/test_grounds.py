"""What a caption says of live cells: the GPUs that they used, not those that their machine has; and
of simulated ones: the errors of what it shows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from harness.records import Manifest
from paper_figures.style import caption, grounds


def cell(
    has: str | None, devices: int, kind: str = "cuda", run: str = "a", answered: int = 1000
) -> Any:
    used = {"devices": [{"name": f"{kind}:{n}"} for n in range(devices)]}
    about = {"machine": {"gpu": has, "cores": 2, "cpu": "a processor"}, "deployment": used}
    manifest = Manifest.model_construct(
        mode="live", run_id=run, experiment="any", valid=True, problems=[], **about
    )
    summary = {"n": 1000, "ok": answered}
    return SimpleNamespace(system="any", workload="a load", manifest=manifest, summary=summary)


def test_one_gpu_of_four_is_one() -> None:
    assert grounds([cell("4 × H200", 1)]) == "live on H200"
    assert grounds([cell("4 × H200", n) for n in (4, 1, 2)]) == "live on 1, 2 and 4 × H200"
    assert grounds([cell("4 × H200", 4)] * 2) == "live on 4 × H200"


def test_many_runs_are_told_by_the_first_and_the_last() -> None:
    few, many = ([cell("H200", 1, run=f"r{n}") for n in range(number)] for number in (3, 5))
    assert caption(few, "") == "live on H200; run r0, r1, r2"
    assert caption(many, "") == "live on H200; run r0 to r4, 5 in all"


def test_the_share_that_was_answered_is_told_where_it_is_not_all() -> None:
    """A system that gives up on long waits has short ones."""
    cells = [cell("H200", 1, answered=number) for number in (1000, 999, 667)]
    assert caption(cells[:1], "") == "live on H200; run a"
    assert caption(cells[:2], "").endswith("; latencies are of what was answered: any 99.9 %")
    assert caption(cells, "").endswith("; latencies are of what was answered: any 66.7 %")


def test_a_run_on_the_cores_of_a_machine_with_gpus_is_on_cores() -> None:
    assert grounds([cell("H200", 1, "cpu")]) == "live on 2 cores, a processor"
    both = grounds([cell("H200", 1, "cpu"), cell("H200", 2)])
    assert both == "live on 2 cores, a processor and live on 2 × H200"


def test_the_errors_of_a_simulation_are_those_of_the_systems_that_are_shown() -> None:
    errors = {"made/one/a load": {"cost_usd": -0.08}, "made/other/a load": {"cost_usd": 0.5}}
    about = Manifest.model_construct(
        mode="simulated", profile={"name": "p", "last_check": errors}, deployment={}
    )

    def told(*systems: str) -> str:
        return grounds([SimpleNamespace(system=each, manifest=about) for each in systems])  # type: ignore[misc]

    assert told("one") == "simulated, profile p, checked against live (largest error 8%)"
    assert told("one", "other") == "simulated, profile p, checked against live (largest error 50%)"
    assert told("a third") == "simulated, profile p, not checked against live"
