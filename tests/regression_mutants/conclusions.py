"""Rules 12, 13 and 17: conclusions from records, and the choice of the records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.cells.plan import CellPlan, plan_cells
from harness.comparison import FACTORS, matched
from harness.errors import HarnessError
from harness.experiment import Experiment
from harness.records import Cell, Manifest
from harness.records.samples import samples
from harness.stats import Series, mean_interval, mean_ratio_interval, summarise
from workloads.streams import stream

from .mutant import Mutant

Array = np.ndarray[Any, np.dtype[np.float64]]
Interval = tuple[float, float]
Planner = Callable[[Experiment], Iterator[CellPlan]]


def bursts(name: str, trials: int = 200, count: int = 800) -> Array:
    """Draw delays [trials, count] with mean 1; the eight requests of a burst share their delay."""
    delays = stream(0, "museum", name).exponential(1.0, (trials, count // 8))
    return np.asarray(delays.repeat(8, axis=1))


def says_where_samples_are_too_few(summary: Callable[[Array], dict[str, Any]]) -> None:
    document = summary(np.arange(1.0, 51.0))
    assert document["p95"] is not None
    assert document["p99"] is None, "p99 of 50 samples"


def whatever_comes_out(values: Array) -> dict[str, Any]:
    return {name: np.percentile(values, float(name[1:])) for name in ("p50", "p95", "p99")}


def every_number_has_an_interval(summary: Callable[[Array], dict[str, Any]]) -> None:
    document = summary(stream(0, "museum", "plain").exponential(1.0, 2000))
    for part in ("mean", "p50", "p90", "p95", "p99"):
        low, high = document.get("ci95", {}).get(part, (math.nan, math.nan))
        assert low < document[part] < high


def numbers_alone(values: Array) -> dict[str, Any]:
    return {name: value for name, value in summarise(values).items() if name != "ci95"}


def covers_the_mean_of_bursts(interval: Callable[[Array], Interval | None]) -> None:
    found = [interval(values) for values in bursts("coverage")]
    covered = [each is not None and each[0] <= 1.0 <= each[1] for each in found]
    assert np.mean(covered) > 0.9


def by_block(values: Array) -> Interval | None:
    return mean_interval(Series.of(values))


def as_if_independent(values: Array) -> Interval:
    reach = 1.96 * float(values.std()) / math.sqrt(len(values))
    return float(values.mean()) - reach, float(values.mean()) + reach


def sees_a_difference_of_five_percent(interval: Callable[[Array, Array], Interval | None]) -> None:
    ours, noise = bursts("ratio", trials=1)[0], stream(0, "museum", "noise").normal(1, 0.05, 800)
    found = interval(ours, 1.05 * ours * noise)
    assert found is not None
    assert found[0] <= 1 / 1.05 <= found[1] < 1


def paired(ours: Array, theirs: Array) -> Interval | None:
    return mean_ratio_interval(Series.of(ours), Series.of(theirs), paired=True)


def as_if_of_other_requests(ours: Array, theirs: Array) -> Interval | None:
    return mean_ratio_interval(Series.of(ours), Series.of(theirs), paired=False)


def cells(**changes: Any) -> list[Cell]:
    """Make one cell of each of two systems; ``changes`` apply to the second."""
    common: dict[str, Any] = {
        "run_id": "r", "mode": "live", "experiment": "e", "workload": {"name": "w", "sha256": "1"},
        "schedule_sha256": "1", "deployment": {"dtype": "bfloat16"}, "seed": 0,
        "prices": {"name": "p", "sha256": "1"}, "machine": {"cpu": "c"}, "versions": {},
        "git": None, "started_at": "2026-01-01T00:00:00+00:00", "valid": True,
    }  # fmt: skip
    manifests = [
        Manifest.model_validate({**common, "system": {"name": "ours"}}),
        Manifest.model_validate({**common, "system": {"name": "theirs"}, **changes}),
    ]
    return [Cell(Path("r") / str(index), each, {}) for index, each in enumerate(manifests)]


def refuses_what_differs(match: Callable[[Sequence[Cell]], Any]) -> None:
    match(cells())
    for key, value in (
        ("schedule_sha256", "2"),
        ("seed", 1),
        ("mode", "simulated"),
        ("deployment", {"dtype": "float32"}),
        ("prices", {"name": "p", "sha256": "2"}),
        ("machine", {"cpu": "d"}),
    ):
        assert refusal(match, cells(**{key: value})).startswith(key)


def refusal(match: Callable[[Sequence[Cell]], Any], chosen: Sequence[Cell]) -> str:
    """Return the message of the refusal, or "" if the cells were accepted."""
    try:
        match(chosen)
    except HarnessError as error:
        return str(error)
    return ""


def ours_or_nothing(chosen: Sequence[Cell]) -> Any:
    return matched(chosen, FACTORS["system"])


def by_name_alone(chosen: Sequence[Cell]) -> Any:
    return matched(chosen, FACTORS["system"], strict=False)


def of_one_system(*changes: dict[str, Any]) -> list[Cell]:
    """Make cells with the same system, workload name and seed, but different results."""
    first, _ = cells()
    return [
        Cell(Path("r") / str(index), first.manifest.model_copy(update=each), {"n": index})
        for index, each in enumerate(changes)
    ]


def played_faster(factor: float) -> dict[str, Any]:
    step = {"name": "compress", "parameters": {"factor": factor}}
    return {"name": "w", "sha256": f"{factor}", "provenance": {"source": "s", "transforms": [step]}}


def pools_one_load_only(match: Callable[[Sequence[Cell]], Any]) -> None:
    match(of_one_system({}, {"repeat": 1}, {"seed": 1, "schedule_sha256": "2"}))
    faster = [{"workload": played_faster(factor), "repeat": factor} for factor in (20, 60)]
    assert "compress.factor: 20 in" in refusal(match, of_one_system(*faster))
    another_seed = [each | {"seed": each["repeat"]} for each in faster]
    assert "compress.factor: 20 in" in refusal(match, of_one_system(*another_seed))
    other = of_one_system({}, {"repeat": 1, "schedule_sha256": "2"})
    assert refusal(match, other).startswith("schedule_sha256")


def by_system_and_name_of_the_load(chosen: Sequence[Cell]) -> Any:
    return {(cell.system, cell.workload): cell for cell in chosen}


def counts_what_came_out_the_same_once(kept: Callable[[Sequence[Cell]], Sequence[Cell]]) -> None:
    first, second = of_one_system({}, {"repeat": 1})
    again = Cell(Path("r") / "again", first.manifest, dict(first.summary))
    under_another_seed = Cell(
        Path("r") / "seed", first.manifest.model_copy(update={"seed": 1}), dict(first.summary)
    )
    assert list(kept([first, again, second, under_another_seed])) == [first, second]


def every_cell(chosen: Sequence[Cell]) -> Sequence[Cell]:
    return chosen


def systems_take_turns(plan: Planner) -> None:
    experiment = Experiment.model_validate(
        {
            "name": "museum",
            "systems": [{"name": name} for name in "abc"],
            "workloads": [{"name": "w"}],
            "seeds": range(4),
            "repeats": 3,
        }
    )
    order = [cell.system.name for cell in plan(experiment)]
    rounds = ["".join(order[start : start + 3]) for start in range(0, len(order), 3)]
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds), "systems do not take turns"
    assert len({each[0] for each in rounds}) > 1, "the same system is always first"


def system_by_system(experiment: Experiment) -> Iterator[CellPlan]:
    yield from sorted(plan_cells(experiment), key=lambda cell: cell.system.name)


def in_the_order_given(experiment: Experiment) -> Iterator[CellPlan]:
    yield from sorted(
        plan_cells(experiment), key=lambda cell: (cell.repeat, cell.seed, cell.system.name)
    )


EXHIBITS = [
    Mutant(12, "percentiles of too few samples", says_where_samples_are_too_few, summarise,
            whatever_comes_out),
    Mutant(12, "numbers without intervals", every_number_has_an_interval, summarise,
            numbers_alone),
    Mutant(12, "intervals as if bursts were independent", covers_the_mean_of_bursts, by_block,
            as_if_independent),
    Mutant(12, "ratios as if of other requests", sees_a_difference_of_five_percent, paired,
            as_if_of_other_requests),
    Mutant(13, "runs compared by name alone", refuses_what_differs, ours_or_nothing,
            by_name_alone),
    Mutant(13, "one system after the other", systems_take_turns, plan_cells, system_by_system),
    Mutant(13, "always in the same order", systems_take_turns, plan_cells, in_the_order_given),
    Mutant(17, "loads of one name pooled", pools_one_load_only, ours_or_nothing,
            by_system_and_name_of_the_load),
    Mutant(17, "one deterministic cell counted as repeats", counts_what_came_out_the_same_once,
            samples, every_cell),
]  # fmt: skip
