"""Our results for the throughput experiment and for the decision time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..records.files import read_kept
from .claim import Ours
from .evaluation import OURS, ground, times

if TYPE_CHECKING:
    import pandas as pd


class Throughput:
    """The highest rate of each system over all offered loads."""

    def __init__(self, folder: Path) -> None:
        self._rows: pd.DataFrame = read_kept(folder / "numbers.parquet").to_pandas()
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
        return Ours((float(value),), times(value), self._mode, f"{why}, {self._ground}")


def decision_time(file: Path) -> Ours:
    """Return the longest timed decision over all loads, in thread time."""
    document = json.loads(file.read_text(encoding="utf-8"))
    load, numbers = max(document["decisions"].items(), key=lambda item: item[1]["max_us"])
    value = numbers["max_us"] / 1e6
    why = (
        f"longest of {numbers['decisions']:,} single decisions at {load.replace('-', ' ')}, "
        f"timed on {document['machine']['cpu']}; the paper gives the total of its two schedulers"
    )
    return Ours((value,), f"{1e3 * value:.2f} ms", document["mode"], why)
