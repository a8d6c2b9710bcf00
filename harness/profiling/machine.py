"""``slbench profile``: measures this machine as a device profile for the simulator.

Probes are ordinary live cells of the suite with the same client, gateway and processes, so the
measured conditions are those of a run. Every number is a fit or a median over their records.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import HarnessError

if TYPE_CHECKING:
    import pandas as pd

    from harness.execution.progress import Progress
    from harness.records import Cell
    from systems.models.sizes import ModelSize
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
FAST = 1e15
"""Bytes per second for transfers whose time is included in another number."""


@dataclass(frozen=True)
class Frames:
    """A cell's answered requests, its spans and its ledger."""

    requests: pd.DataFrame
    spans: pd.DataFrame
    memory: pd.DataFrame

    def seconds(self, stage: str, requests: Any = None) -> np.ndarray[Any, Any]:
        """Return the duration of each span of ``stage``."""
        rows = self.spans[self.spans["stage"] == stage]
        if requests is not None:
            rows = rows[rows["request_id"].isin(requests)]
        return np.asarray((rows["end_ns"] - rows["start_ns"]) / 1e9)


def measure(
    backbone: str, threads: int, progress: Progress, *, by_profile: str | None = None
) -> dict[str, Found]:
    """Measure each profile field: value and source. Takes about five minutes on an otherwise idle
    machine. ``by_profile`` simulates the probes with a known profile instead; the result must then
    equal that profile."""
    from systems.models.sizes import model_size

    size = model_size(backbone, "bfloat16", 16, "cpu")
    with tempfile.TemporaryDirectory(prefix="slbench-profile-") as folder:
        probe = Probe(Path(folder), backbone, threads, progress, by_profile)
        batches = _starts() + _batches()
        pairs = _pairs(batches[-1][0] + WARM_APART_S)
        shared = probe.frames("serverless-lora", batches + pairs, keep_alive_s=240)
        private = probe.frames("serverless-llm", _starts(3), keep_alive_s=2)
        sleepy = probe.frames("serverless-lora", _pauses(), keep_alive_s=1)
    hot = shared.requests.sort_values("scheduled_ns").iloc[len(FUNCTIONS) :]
    fit = fit_batches(shared, hot.iloc[: -len(pairs)])
    return {
        "core_beside": _beside(shared, hot.iloc[-len(pairs) :], fit),
        **_starting(shared, private, size),
        **_computing(fit, shared, size),
        **_resting(fit, sleepy),
        **_transport(shared),
    }


Points = tuple[tuple[float, float], ...]
Found = tuple[float | Points, str]
"""A number or a curve, and its source."""
Request = tuple[float, str, int, int]
"""Time in s, function, prompt tokens, output tokens."""


def _starts(functions: int = len(FUNCTIONS)) -> list[Request]:
    """The first request of each function: the first one needs everything, the others a fork."""
    first = 12.0
    return [(0.0, FUNCTIONS[0], 32, 4)] + [
        (first + COLD_APART_S * 2 * index, name, 32, 4)
        for index, name in enumerate(FUNCTIONS[1:functions])
    ]


def _batches() -> list[Request]:
    """Batches of several sizes and prompt lengths for a hot instance."""
    return batches_from(_starts()[-1][0] + COLD_APART_S * 2)


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


def _pairs(at_s: float) -> list[Request]:
    """Requests of two functions at the same instant, whose instances work beside each other."""
    times = [at_s + WARM_APART_S * number for number in range(PAIRS)]
    return [(at, function, SHORT, STEPS) for at in times for function in FUNCTIONS[:2]]


def _beside(shared: Frames, pairs: pd.DataFrame, fit: Fit) -> Found:
    """Compare the steps of instances beside each other with those of one alone."""
    steps_s = shared.seconds("decode", pairs["request_id"]) / (STEPS - 1)
    alone_s = dict(fit.rows)[1]
    beside, how = median(steps_s / alone_s - 1, "steps of two instances, to those of one")
    return max(beside, 0.0), how


def _pauses() -> list[Request]:
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


def frames(cell: Cell) -> Frames:
    requests = cell.requests
    if not (requests["status"] == "ok").all():
        failed = requests.loc[requests["status"] != "ok", "error"].iloc[0]
        raise HarnessError(f"profile: a probe of {cell.system} failed ({failed})")
    spans, memory = (cell.table(name).to_pandas() for name in ("spans", "memory"))
    return Frames(requests, spans, memory[memory["source"] == "ledger"])


def median(values: Any, what: str) -> tuple[float, str]:
    return float(np.median(values)), f"{what}, median of {len(values)}"


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


@dataclass(frozen=True)
class Fit:
    """prefill = fixed + request·b + token·k; step = step + more·b; fitted over ``batches``.
    ``rows``: the number of requests in a step and its median duration in s."""

    fixed: float
    request: float
    token: float
    step: float
    more: float
    batches: int
    rows: Points

    def beyond(self, frames: Frames, requests: Any) -> np.ndarray[Any, Any]:
        """Prefill time beyond the fit of these requests, each alone in its batch."""
        tokens = frames.requests.set_index("request_id").loc[requests, "prompt_tokens"]
        expected = self.fixed + self.request + self.token * tokens.to_numpy()
        return np.asarray(np.maximum(frames.seconds("prefill", requests) - expected, 0.0))


def fit_batches(shared: Frames, hot: pd.DataFrame) -> Fit:
    """Fit the requests ``hot``, as :func:`batches_from` sends them."""
    spans = shared.spans.set_index(["request_id", "stage"])
    seconds = (spans["end_ns"] - spans["start_ns"]) / 1e9
    rows, prefill, steps = [], [], []
    for _, instant in hot.groupby("scheduled_ns"):
        starts = [spans.loc[(one, "prefill"), "start_ns"] for one in instant["request_id"]]
        for _, batch in instant.groupby(starts):
            rows.append((1.0, len(batch), batch["prompt_tokens"].sum()))
            prefill.append(seconds.loc[(batch["request_id"].iloc[0], "prefill")])
            if batch["output_tokens"].iloc[0] > 1:
                decode_s = seconds.loc[(batch["request_id"].iloc[0], "decode")]
                steps.append((len(batch), decode_s / (STEPS - 1)))
    fixed, request, token = _fit(rows, prefill)
    step, more = _fit([(1.0, count) for count, _ in steps], [each for _, each in steps])
    return Fit(fixed, request, token, step, more, len(rows), _medians(steps))


def _medians(steps: Sequence[tuple[int, float]]) -> Points:
    counts = sorted({count for count, _ in steps})
    return tuple((n, float(np.median([s for count, s in steps if count == n]))) for n in counts)


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


def _fit(rows: list[Any], values: list[float]) -> tuple[float, ...]:
    """Least squares with non-negative coefficients."""
    from scipy.optimize import nnls

    found, _ = nnls(np.array(rows, float), np.array(values, float))
    return tuple(float(value) for value in found)


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


def _content(value: float | Points) -> str:
    if isinstance(value, tuple):
        return f"points = [{', '.join(f'[{x:g}, {y:.6g}]' for x, y in value)}]"
    return f"value = {value:.6g}"


def to_toml(name: str, numbers: Mapping[str, Found], machine: str) -> str:
    """Format a profile for the simulator; tables (``table.field``) come last."""
    import json

    today = datetime.now(UTC).date().isoformat()
    lines = [
        f"# Measured by slbench profile on {machine}.",
        f"name = {json.dumps(name)}",
        f"summary = {json.dumps(f'measured on {machine}')}",
        f"date = {json.dumps(today)}",
        "",
    ]
    table = ""
    for name, (value, source) in numbers.items():
        within, _, field = name.rpartition(".")
        if within != table:
            table = within
            lines += ["", f"[{table}]"]
        about = json.dumps(f"slbench profile, {today}: {source}", ensure_ascii=False)
        lines.append(f'{field} = {{ {_content(value)}, kind = "measured", source = {about} }}')
    return "\n".join(lines) + "\n"
