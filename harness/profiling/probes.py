"""The probes of a machine: what they send, and the cells that send it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .frames import Frames, frames

if TYPE_CHECKING:
    from harness.execution.progress import Progress
    from harness.records import Cell
    from workloads.trace import Workload

FUNCTIONS = tuple(f"f{index}" for index in range(5))
COLD_APART_S = 4.0
WARM_APART_S = 5.0
"""Longer than a batch, so that batches do not overlap."""
BATCHES, PROMPTS, ROUNDS, STEPS = (1, 2, 4, 8), (8, 32, 128), 2, 8
PAIRS = 6
MOST_TOKENS = 512
"""Of a batch's prompts together."""
SHORT = 8

Request = tuple[float, str, int, int]
"""Time in s, function, prompt tokens, output tokens."""


def starts(functions: int = len(FUNCTIONS)) -> list[Request]:
    """The first request of each function: the first one needs everything, the others a fork."""
    first = 12.0
    return [(0.0, FUNCTIONS[0], 32, 4)] + [
        (first + COLD_APART_S * 2 * index, name, 32, 4)
        for index, name in enumerate(FUNCTIONS[1:functions])
    ]


def batches() -> list[Request]:
    """Batches of several sizes and prompt lengths for a hot instance."""
    return batches_from(starts()[-1][0] + COLD_APART_S * 2)


def batches_from(
    at_s: float,
    batches: Sequence[int] = BATCHES,
    prompts: Sequence[int] = PROMPTS,
    apart_s: float = WARM_APART_S,
) -> list[Request]:
    """Batches, starting at ``at_s``. Before each, at the same instant, comes a request of a single
    token: the others wait for its prefill and run as one batch, beside which nothing decodes. (A
    request that decodes beside it would have the batch computed in pieces, with steps between.)"""
    requests: list[Request] = []
    for _ in range(ROUNDS):
        for batch, prompt in product(batches, prompts):
            if batch * prompt <= MOST_TOKENS:
                requests += [(at_s, FUNCTIONS[0], SHORT, 1)]
                requests += [(at_s, FUNCTIONS[0], prompt, STEPS)] * batch
                at_s += apart_s
    return requests


def pairs(at_s: float) -> list[Request]:
    """Requests of two functions at the same instant, whose instances work beside each other."""
    times = [at_s + WARM_APART_S * number for number in range(PAIRS)]
    return [(at, function, SHORT, STEPS) for at in times for function in FUNCTIONS[:2]]


def pauses() -> list[Request]:
    """Calls of one function, far enough apart that it is parked between them, but close enough that
    it is not stopped."""
    return [(at_s, FUNCTIONS[0], 8, 2) for at_s in (0.0, 24.0, 30.0, 36.0)]


@dataclass(frozen=True)
class Probe:
    """Runs probe cells on this machine, or on a simulated one (``by_profile``)."""

    folder: Path
    backbone: str
    threads: int
    progress: Progress
    by_profile: str | None

    def frames(self, system: str, requests: list[Request], keep_alive_s: float) -> Frames:
        """Run one cell of these requests and return its tables."""
        return frames(self.cell(system, requests, keep_alive_s))

    def cell(
        self, system: str, requests: list[Request], keep_alive_s: float = 120, **options: Any
    ) -> Cell:
        from harness.execution.runner import Runner
        from harness.experiment import Experiment
        from harness.records import new_run

        variant = "-".join((system, f"{keep_alive_s:g}", *map(str, options.values())))
        path = self.folder / f"{variant}.parquet"
        _workload(path.stem, requests).write(path)
        limits = {"threads_per_instance": self.threads, "keep_alive_s": keep_alive_s}
        experiment = Experiment.model_validate(
            {
                "name": "profile",
                "systems": [{"name": system, "options": options}],
                "workloads": [{"name": str(path)}],
                "deployment": {
                    "backbone": self.backbone,
                    "device_memory_gib": 8,
                    "limits": {**limits, "max_context_tokens": 512, "max_batch_size": 16},
                },
                "lateness_budget_s": 1.0,
                "mode": "simulated" if self.by_profile else "live",
                "profile": self.by_profile or "",
            }
        )
        run = new_run(experiment.model_dump(mode="json"), self.folder / path.stem)
        Runner(experiment, run, self.progress).execute()
        (cell,) = run.cells()
        return cell


def _workload(name: str, requests: list[Request]) -> Workload:
    import pyarrow as pa

    from workloads.trace import SCHEMA, Provenance, TraceFunction, Workload

    at_s, functions, prompts, outputs = zip(*requests, strict=True)
    columns = [range(len(requests)), [round(at * 1e9) for at in at_s], functions, prompts, outputs]
    return Workload(
        name,
        tuple(TraceFunction(id=function) for function in sorted(set(functions))),
        pa.table(dict(zip(SCHEMA.names, map(list, columns), strict=True)), schema=SCHEMA),
        Provenance(kind="synthetic", source="probes of slbench profile"),
        round((at_s[-1] + 6) * 1e9),
    )
