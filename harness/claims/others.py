"""Our results for the throughput experiment and for the decision time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from ..records.files import read_kept
from ..reference.windowed import REQUESTS, TOKENS
from .best import times
from .claim import Ours
from .evaluation import OURS, ground

if TYPE_CHECKING:
    import pandas as pd

    from ..records import Run

_RATES = "output_tokens_per_s", "requests_per_s"


class Throughput:
    """The highest rate of each system over all offered loads. ``rows``: a row per system, load and
    metric."""

    def __init__(
        self,
        rows: pd.DataFrame,
        mode: Literal["live", "simulated"],
        basis: str,
        *,
        ours: str = OURS,
        rates: tuple[str, str] = _RATES,
        on: str = "",
    ) -> None:
        self._rows, self._mode, self._basis, self._on = rows, mode, basis, on
        self._our_system = ours
        self._tokens_per_s, self._requests_per_s = rates

    @classmethod
    def of_study(cls, folder: Path, *, windowed: bool) -> Self:
        """``windowed``: rates within the study's window."""
        rows: pd.DataFrame = read_kept(folder / "numbers.parquet").to_pandas()
        about = json.loads((folder / "study.json").read_bytes())
        basis = ground(about["profile"])
        if windowed:
            return cls(rows, about["mode"], basis, rates=(TOKENS, REQUESTS))
        return cls(rows, about["mode"], basis)

    @classmethod
    def of_run(cls, run: Run, ours: str, baselines: Iterable[str]) -> Self:
        """``ours`` against ``baselines``, by rates until the last answer of each cell."""
        import pandas as pd

        cells = [cell for cell in run.cells() if cell.system in {ours, *baselines}]
        rows = [
            {"system": cell.system, "metric": rate, "value": cell.summary[rate]}
            for cell in cells
            for rate in _RATES
        ]
        about = cells[0].manifest
        basis = f"record {run.path.name}"
        return cls(pd.DataFrame(rows), about.mode, basis, ours=ours, on=about.gpus)

    def measures(self) -> Mapping[str, Callable[[], Ours]]:
        """Return how each claim is measured, by its id."""
        return {
            "throughput-tokens": self.tokens,
            "throughput-requests": self.requests,
            "batch-growth": self.batch,
        }

    def tokens(self) -> Ours:
        peaks = self._peaks(self._tokens_per_s)
        mine, others = peaks[self._our_system], peaks.drop(self._our_system)
        why = f"{mine:,.0f} against {others.max():,.0f} tokens/s of {others.idxmax()}"
        return self._ours(mine / others.max(), why)

    def requests(self) -> Ours:
        peaks = self._peaks(self._requests_per_s)
        mine, theirs = peaks[self._our_system], peaks["instainfer"]
        return self._ours(mine / theirs, f"{mine:.1f} against {theirs:.1f} requests/s")

    def batch(self) -> Ours:
        value = float(self._peaks("batch_size")[self._our_system])
        why = f"requests whose prompts are computed together, mean over batches; {self._basis}"
        return Ours((value,), f"{value:.1f}", self._mode, why)

    def _peaks(self, metric: str) -> pd.Series:
        rows = self._rows[self._rows["metric"] == metric]
        return rows.groupby("system")["value"].max()

    def _ours(self, value: float, why: str) -> Ours:
        return Ours((float(value),), times(value), self._mode, f"{why}, {self._basis}", on=self._on)


def decision_time(file: Path) -> Ours:
    """Return the longest timed decision over all loads, in thread time."""
    document = json.loads(file.read_text(encoding="utf-8"))
    load, numbers = max(document["decisions"].items(), key=lambda item: item[1]["max_us"])
    value = numbers["max_us"] / 1e6
    why = (
        f"longest of {numbers['decisions']:,} single decisions at {load.replace('-', ' ')}, "
        "in thread time; the paper gives the total of its two schedulers"
    )
    on = f"{document['machine']['cpu']}"
    return Ours((value,), f"{1e3 * value:.2f} ms", document["mode"], why, on=on)
