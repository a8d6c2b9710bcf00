"""The servers' part of ``slbench profile``: our serverful systems, measured by live probes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .batch_fit import Fit, fit_batches
from .found import Found, median
from .frames import frames as frames_of
from .probe import Probe, kept_in, on_cores
from .probes import STEPS, batches_from

if TYPE_CHECKING:
    from harness.execution.progress import Progress
    from harness.records import Cell
    from systems.models.sizes import ModelSize

    from .probe import Request

FIRST_S = 4.0
"""Time of the first batch: by then, everything that a first request loads is loaded."""
BATCHES, PROMPTS = (1, 4, 12), (8, 32)
"""A server batches requests that separate instances would serve separately."""
CROWD, ROUNDS = 8, 4
"""Concurrent requests, all of one adapter or each of its own."""
APART_S = 8.0
"""Longer than a batch, so that batches do not overlap."""
FOR_SYSTEM = {"bfloat16": "multi-lora", "float32": "dlora"}
"""The system that stores weights in this dtype on the CPU."""


def measure_servers(
    backbone: str,
    threads: int,
    progress: Progress,
    *,
    records: Path | None = None,
    by_profile: str | None = None,
) -> dict[str, Found]:
    """Measure ``servers.<dtype>.<field>`` and ``grouped.<dtype>.adapter_share``, value and source,
    for every dtype in which a serverful system of this suite stores weights on the CPU. About six
    minutes. ``records`` and ``by_profile`` as in :func:`~harness.profiling.machine.measure`."""
    from systems.models.sizes import model_size

    found: dict[str, Found] = {}
    with kept_in(records) as folder:
        probe = Probe(folder, on_cores(backbone, threads), progress, by_profile)
        merged = merging(probe.cell("dlora", _all_functions(1.0)), "float32")
        for dtype in FOR_SYSTEM:
            # dLoRA itself would merge the single adapter of these batches.
            cell = probe.cell("multi-lora", _requests(), dtype=dtype)
            size = model_size(backbone, dtype, 16, "cpu")
            numbers = {**_computing(cell, size), **merged, **_held(cell, size)}
            found |= {f"servers.{dtype}.{name}": each for name, each in numbers.items()}
            found[f"grouped.{dtype}.adapter_share"] = _share(cell)
    return found


def _requests() -> list[Request]:
    batches = [*_all_functions(0.0), *batches_from(FIRST_S, BATCHES, PROMPTS, APART_S)]
    return [*batches, *_crowds(batches[-1][0] + APART_S)]


def _all_functions(at_s: float) -> list[Request]:
    """One request of each function, so that all adapters are loaded."""
    return [(at_s, f"f{index}", 8, 2) for index in range(CROWD)]


def _crowds(at_s: float) -> list[Request]:
    """Alternate, so that other activity of the machine affects both kinds equally."""
    requests: list[Request] = []
    for _ in range(ROUNDS):
        for functions in (1, CROWD):
            requests += [(at_s, f"f{index % functions}", 8, STEPS) for index in range(CROWD)]
            at_s += APART_S
    return requests


def _computing(cell: Cell, size: ModelSize) -> dict[str, Found]:
    seen = frames_of(cell)
    requests = seen.requests.sort_values("scheduled_ns")
    hot = requests.iloc[CROWD : -2 * ROUNDS * CROWD]
    fit: Fit = fit_batches(seen, hot)
    how = (
        f"a server of one replica, least squares over {fit.batches} batches of up to"
        f" {max(BATCHES)}, of one adapter"
    )
    return {
        "prefill_s": Found(fit.fixed, how),
        "prefill_request_s": Found(fit.request, how),
        "prefill_token_s_per_gparam": Found(fit.token / (size.parameters / 1e9), how),
        "decode_s": Found(fit.step, how),
        "decode_request_s": Found(fit.more, how),
        "decode_rows_s": Found(fit.rows, "steps by the number of requests, medians"),
    }


def _share(cell: Cell) -> Found:
    """Compare pairs of concurrent requests: one adapter against as many as requests."""
    seen = frames_of(cell)
    crowds: Any = seen.requests.sort_values("scheduled_ns").iloc[-2 * ROUNDS * CROWD :]
    spans = seen.spans[seen.spans["stage"] == "decode"].set_index("request_id")
    steps = []
    for _, crowd in crowds.groupby("scheduled_ns"):
        mine = spans.loc[crowd["request_id"]]
        last = mine.loc[mine["start_ns"].idxmax()]  # from here on, all are in decode
        steps.append((last["end_ns"] - last["start_ns"]) / (STEPS - 1))
    ratios = np.array(steps[1::2]) / np.array(steps[::2])
    more = np.maximum(ratios - 1, 0) / (CROWD - 1)
    return median(more, f"steps of {CROWD} requests, {CROWD} adapters against one")


def merging(cell: Cell, dtype: str) -> dict[str, Found]:
    """From dLoRA's own measurements before it serves; it stores weights in ``dtype``."""
    timed = cell.manifest.measured
    step_s = timed["unmerged_s"]
    how = f"dlora's own, before it serves, weights in {dtype}"
    return {
        "merged_share": Found(min(1.0, timed["merged_s"] / step_s), f"steps of one request, {how}"),
        "switch_steps": Found(timed["switch_s"] / step_s, f"merging and unmerging, {how}"),
    }


def _held(cell: Cell, size: ModelSize) -> dict[str, Found]:
    memory = frames_of(cell).memory
    total = memory.pivot_table(index="t_ns", columns="owner", values="bytes").ffill().sum(axis=1)
    own = total - size.weights_bytes - CROWD * size.adapter_bytes
    return {
        "process_bytes": median(
            np.maximum(own, 0), "PSS of its processes, less weights and adapters"
        )
    }
