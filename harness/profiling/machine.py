"""``slbench profile``: measures this machine as a device profile for the simulator.

Probes are ordinary live cells of the suite with the same client, gateway and processes, so the
measured conditions are those of a run. Every number is a fit or a median over their records.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .batch_fit import Fit, fit_batches
from .found import Found, median
from .frames import Frames
from .parking import offload
from .probe import Probe, kept_in, on_cores
from .probes import BATCHES, FUNCTIONS, STEPS, WARM_APART_S, batches, pairs, pauses, starts
from .starts import processes, rates, reading_s, transport

if TYPE_CHECKING:
    import pandas as pd

    from harness.execution.progress import Progress
    from systems.models.sizes import ModelSize

FAST = 1e15
"""Bytes per second for transfers whose time is included in another number."""


def measure(
    backbone: str,
    threads: int,
    progress: Progress,
    *,
    records: Path | None = None,
    by_profile: str | None = None,
) -> dict[str, Found]:
    """Measure each profile field: value and source. Takes about five minutes on an otherwise idle
    machine. ``records``: where the records of the probes are kept; None: they are removed.
    ``by_profile`` simulates the probes with a known profile instead; the result must then equal
    that profile."""
    from systems.models.sizes import model_size

    size = model_size(backbone, "bfloat16", 16, "cpu")
    with kept_in(records) as folder:
        probe = Probe(folder, on_cores(backbone, threads), progress, by_profile)
        sent = starts() + batches()
        beside = pairs(sent[-1][0] + WARM_APART_S)
        shared = probe.frames("serverless-lora", sent + beside, keep_alive_s=240)
        private = probe.frames("serverless-llm", starts(3), keep_alive_s=2)
        sleepy = probe.frames("serverless-lora", pauses(), keep_alive_s=1)
    hot = shared.requests.sort_values("scheduled_ns").iloc[len(FUNCTIONS) :]
    fit = fit_batches(shared, hot.iloc[: -len(beside)])
    return {
        "core_beside": _beside(shared, hot.iloc[-len(beside) :], fit),
        **_starting(shared, private, size),
        **_computing(fit, shared, size),
        **_resting(fit, sleepy),
        **transport(shared),
    }


def _starting(shared: Frames, private: Frames, size: ModelSize) -> dict[str, Found]:
    first, *others = shared.requests.sort_values("scheduled_ns")["request_id"].iloc[:5]
    return {
        **processes(shared, others, private),
        "adapter_s": median(shared.seconds("adapter"), "adapter"),
        "kernels_s": median(shared.seconds("kernels"), "kernels"),
        **rates([reading_s(shared, first)], private, size),
        "adapter_bytes_per_s": Found(FAST, "the time is part of adapter_s"),
    }


def _computing(fit: Fit, shared: Frames, size: ModelSize) -> dict[str, Found]:
    first = shared.requests.sort_values("scheduled_ns")["request_id"].iloc[: len(FUNCTIONS)]
    how = f"least squares over {fit.batches} batches of up to {max(BATCHES)}"
    return {
        "prefill_s": Found(fit.fixed, how),
        "prefill_request_s": Found(fit.request, how),
        "prefill_token_s_per_gparam": Found(fit.token / (size.parameters / 1e9), how),
        "first_batch_s": median(fit.beyond(shared, first), "first prefill beyond the fit"),
        "decode_s": Found(fit.step, how),
        "decode_request_s": Found(fit.more, how),
        "decode_rows_s": Found(fit.rows, "steps by the number of requests, medians"),
        "decode_bytes_per_s": Found(FAST, "the time is part of decode_s and decode_rows_s"),
    }


def _beside(shared: Frames, pairs: pd.DataFrame, fit: Fit) -> Found:
    """Compare the steps of instances beside each other with those of one alone."""
    steps_s = shared.seconds("decode", pairs["request_id"]) / (STEPS - 1)
    alone_s = dict(fit.rows)[1]
    beside = np.maximum(steps_s / alone_s - 1, 0.0)
    return median(beside, "steps of two instances, to those of one")


def _resting(fit: Fit, sleepy: Frames) -> dict[str, Found]:
    """Measure an instance that is parked one second after each request and woken by the next."""
    _, *woken = sleepy.requests.sort_values("scheduled_ns")["request_id"]
    beyond = median(fit.beyond(sleepy, woken), "first batch after parking beyond the fit")
    kernels = median(sleepy.seconds("kernels", woken), "kernels of a parked instance")
    return {**offload(sleepy), "parked_batch_s": beyond, "parked_kernels_s": kernels}


def settings(cores: int) -> dict[str, Found]:
    """Fields that follow from how the platform runs on a CPU, and from its options."""
    from systems.serverless.options import Options

    options = Options()
    held = "the platform's default option, itself measured (see its docstring)"
    return {
        "cores": Found(cores, "cores that this process may use"),
        "devices_per_node": Found(64, "budgets of one host's memory, any number"),
        "device_slots": Found(0, "batches compute on the host's cores"),
        "context_bytes": Found(options.context_bytes, held),
        "forked_context_bytes": Found(options.forked_context_bytes, held),
        "template_bytes": Found(options.template_bytes, held),
        "host_bytes": Found(0, "an awake process counts on its device's budget"),
        "dormant_bytes": Found(options.forked_context_bytes, held),
    }
