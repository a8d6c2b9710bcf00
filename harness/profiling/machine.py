"""``slbench profile``: measures this machine as a device profile for the simulator.

Probes are ordinary live cells of the suite with the same client, gateway and processes, so the
measured conditions are those of a run. Every number is a fit or a median over their records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from systems.runtime.swept_folder import swept

from .batch_fit import Fit, fit_batches
from .found import Found, median
from .frames import Frames
from .probes import BATCHES, FUNCTIONS, STEPS, WARM_APART_S, Probe, batches, pairs, pauses, starts

if TYPE_CHECKING:
    import pandas as pd

    from harness.execution.progress import Progress
    from systems.models.sizes import ModelSize

FAST = 1e15
"""Bytes per second for transfers whose time is included in another number."""


def measure(
    backbone: str, threads: int, progress: Progress, *, by_profile: str | None = None
) -> dict[str, Found]:
    """Measure each profile field: value and source. Takes about five minutes on an otherwise idle
    machine. ``by_profile`` simulates the probes with a known profile instead; the result must then
    equal that profile."""
    from systems.models.sizes import model_size

    size = model_size(backbone, "bfloat16", 16, "cpu")
    with swept("slbench-profile-") as folder:
        probe = Probe(folder, backbone, threads, progress, by_profile)
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
        **_transport(shared),
    }


def _starting(shared: Frames, private: Frames, size: ModelSize) -> dict[str, Found]:
    first, *others = shared.requests.sort_values("scheduled_ns")["request_id"].iloc[:5]
    backbone_s = shared.seconds("backbone", [first]).max()
    adapter = shared.seconds("adapter")
    bandwidth = size.weights_bytes / backbone_s
    own = size.weights_bytes / np.median(private.seconds("backbone"))
    return {
        "process_s": median(private.seconds("warming"), "warming of a process from nothing"),
        "fork_s": median(shared.seconds("warming", others), "warming of a fork of the template"),
        "libraries_s": median(private.seconds("libraries"), "imports of a process"),
        "map_s": median(shared.seconds("backbone", others), "backbone of a fork, shared"),
        "adapter_s": median(adapter, "adapter"),
        "kernels_s": median(shared.seconds("kernels"), "kernels"),
        "disk_bytes_per_s": (bandwidth, "shared backbone read from the page cache, one load"),
        "tier_bytes_per_s": (bandwidth, "the same: files are in the page cache from the start"),
        "private_bytes_per_s": (float(own), "private backbone read from the page cache, median"),
        "adapter_bytes_per_s": (FAST, "the time is part of adapter_s"),
    }


def _computing(fit: Fit, shared: Frames, size: ModelSize) -> dict[str, Found]:
    first = shared.requests.sort_values("scheduled_ns")["request_id"].iloc[: len(FUNCTIONS)]
    how = f"least squares over {fit.batches} batches of up to {max(BATCHES)}"
    return {
        "prefill_s": (fit.fixed, how),
        "prefill_request_s": (fit.request, how),
        "prefill_token_s_per_gparam": (fit.token / (size.parameters / 1e9), how),
        "first_batch_s": median(fit.beyond(shared, first), "first prefill beyond the fit"),
        "decode_s": (fit.step, how),
        "decode_request_s": (fit.more, how),
        "decode_rows_s": (fit.rows, "steps by the number of requests, medians"),
        "decode_bytes_per_s": (FAST, "the time is part of decode_s and decode_rows_s"),
    }


def _beside(shared: Frames, pairs: pd.DataFrame, fit: Fit) -> Found:
    """Compare the steps of instances beside each other with those of one alone."""
    steps_s = shared.seconds("decode", pairs["request_id"]) / (STEPS - 1)
    alone_s = dict(fit.rows)[1]
    beside, how = median(steps_s / alone_s - 1, "steps of two instances, to those of one")
    return max(beside, 0.0), how


def _resting(fit: Fit, sleepy: Frames) -> dict[str, Found]:
    """Measure an instance that is parked one second after each request and woken by the next."""
    _, *woken = sleepy.requests.sort_values("scheduled_ns")["request_id"]
    ends = sleepy.requests["responded_ns"].to_numpy()
    cache = sleepy.memory[sleepy.memory["owner"] == "kv"].sort_values("t_ns")
    freed = cache[(cache["bytes"] == 0) & (cache["bytes"].shift() > 0)]["t_ns"].to_numpy()
    since = [(t - ends[ends < t].max()) / 1e9 - 1.0 for t in freed]
    offload = median(np.maximum(since, 0), "KV cache released after a keep-alive of 1 s")
    # The engine's slabs are allocated again, in their own stage or within the first prefill.
    again = sum(sleepy.seconds("kernels", woken)) / len(woken) + fit.beyond(sleepy, woken)
    return {
        "offload_s": offload,
        "stop_s": (offload[0], "assumed equal to offload_s"),
        "parked_batch_s": median(again, "first batch after parking beyond the fit"),
    }


def _transport(shared: Frames) -> dict[str, Found]:
    requests = shared.requests
    there = (requests["received_ns"] - requests["sent_ns"]).to_numpy() / 1e9
    prefill = shared.spans[shared.spans["stage"] == "prefill"].set_index("request_id")["end_ns"]
    seen = requests.set_index("request_id")["first_token_ns"]
    back = ((seen - prefill.reindex(seen.index)) / 1e9).to_numpy()
    return {
        "request_s": median(there, "client's send to the gateway's receipt"),
        "response_s": median(back, "first token generated to the client's receipt"),
    }


def settings(cores: int) -> dict[str, Found]:
    """Fields that follow from how the platform runs on a CPU, and from its options."""
    from systems.serverless.options import Options

    options = Options()
    held = "the platform's default option, itself measured (see its docstring)"
    return {
        "cores": (cores, "cores that this process may use"),
        "devices_per_node": (64, "budgets of one host's memory, any number"),
        "device_slots": (0, "batches compute on the host's cores"),
        "context_bytes": (options.context_bytes, held),
        "forked_context_bytes": (options.forked_context_bytes, held),
        "template_bytes": (options.template_bytes, held),
        "host_bytes": (0, "an awake process counts on its device's budget"),
        "dormant_bytes": (options.forked_context_bytes, held),
    }
