"""Ours of the throughput set-up, of the decisions' time, and of the time breakdown."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .claim import Ours
from .evaluation import OURS, _times, ground

if TYPE_CHECKING:
    import pandas as pd

    from ..records import Cell, Run

_STAGES = {
    "warming_s": ("warming",),
    "load_artifacts_s": ("libraries", "kernels"),
    "load_model_s": ("backbone", "adapter"),
}
_SYSTEMS = {
    "ServerlessLoRA": OURS, "ServerlessLLM": "serverless-llm", "InstaInfer": "instainfer",
}  # fmt: skip
_PAID_NS = 50_000_000
"""The precision to which the published figure was read."""


class Throughput:
    """The highest rates that each system reached over all that was offered."""

    def __init__(self, folder: Path) -> None:
        import pandas as pd

        self._rows: pd.DataFrame = pd.read_parquet(folder / "numbers.parquet")
        about = json.loads((folder / "study.json").read_bytes())
        self._mode: Literal["live", "simulated"] = about["mode"]
        self._ground = ground(about["profile"])

    def tokens(self) -> Ours:
        peaks = self._peaks("output_tokens_per_s")
        others = peaks.drop(OURS)
        why = f"{peaks[OURS]:,.0f} against {others.max():,.0f} tokens/s of {others.idxmax()}"
        return self._ours(peaks[OURS] / others.max(), why)

    def requests(self) -> Ours:
        peaks = self._peaks("requests_per_s")
        why = f"{peaks[OURS]:.1f} against {peaks['instainfer']:.1f} requests/s"
        return self._ours(peaks[OURS] / peaks["instainfer"], why)

    def batch(self) -> Ours:
        value = float(self._peaks("batch_size")[OURS])
        why = (
            "batching is continuous here: what is counted is the batch of a prefill, and requests "
            f"join between decode steps; {self._ground}"
        )
        return Ours((value,), f"{value:.1f}", self._mode, why)

    def _peaks(self, metric: str) -> pd.Series:
        rows = self._rows[self._rows["metric"] == metric]
        return rows.groupby("system")["value"].max()

    def _ours(self, value: float, why: str) -> Ours:
        return Ours((float(value),), _times(value), self._mode, f"{why}, {self._ground}")


def decision_time(file: Path) -> Ours:
    """The longest single decision of those that were timed, in thread time, of all loads."""
    document = json.loads(file.read_text(encoding="utf-8"))
    load, numbers = max(document["decisions"].items(), key=lambda item: item[1]["max_us"])
    value = numbers["max_us"] / 1e6
    why = (
        f"longest of {numbers['decisions']:,} single decisions at {load.replace('-', ' ')}, "
        f"timed on {document['machine']['cpu']}; the paper gives the total of its two schedulers"
    )
    return Ours((value,), f"{1e3 * value:.2f} ms", document["mode"], why)


def stages_paid(run: Run) -> Ours:
    """Of the figure's calls, how many pay for exactly the stages that it shows."""
    cells = {cell.system: cell for cell in run.cells()}
    paid = {name: _paid(cell) for name, cell in cells.items()}
    same: dict[str, list[bool]] = defaultdict(list)
    for row in _published_calls():
        system = _SYSTEMS[row["system"]]
        theirs = {stage for stage in _STAGES if float(row[stage]) > 0}
        ours = paid[system].get((row["function"], round(float(row["arrival_s"]), 2)))
        same[system].append(ours == theirs)
    total = sum(map(len, same.values()))
    agree = sum(map(sum, same.values()))
    each = ", ".join(f"{name} {sum(calls)}/{len(calls)}" for name, calls in same.items())
    about = next(iter(cells.values())).manifest
    why = (
        f"{each}; the durations agree by construction, {ground(about.profile)} takes them from"
        " this figure"
    )
    return Ours((agree / total,), f"{agree} of {total}", about.mode, why)


def _paid(cell: Cell) -> dict[tuple[str, float], set[str]]:
    """(function, arrival in s) → published stages that took longer than the figure's precision."""
    spans = cell.table("spans").to_pandas()
    spans["ns"] = spans["end_ns"] - spans["start_ns"]
    lengths = spans.groupby(["request_id", "stage"])["ns"].sum()
    found = {}
    columns = cell.requests[["request_id", "function_id", "scheduled_ns"]]
    for request, function, due_ns in columns.to_numpy().tolist():
        mine = {
            name
            for name, stages in _STAGES.items()
            if sum(lengths.get((request, stage), 0) for stage in stages) > _PAID_NS
        }
        found[str(function), round(due_ns / 1e9, 2)] = mine
    return found


def _published_calls() -> list[dict[str, str]]:
    file = files("harness") / "claims" / "time_breakdown.csv"
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
