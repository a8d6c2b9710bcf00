"""Our costs under an accounting: from a sweep's record, or from the cells of a live run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from ..cost import accountings
from ..records.files import STUDY, read_kept
from ..reference.accounted import COST, EFFECTIVENESS, accounted, under
from ..reference.numbers import ratio_of
from .best import Best, percent, times
from .claim import Ours
from .evaluation import ABLATION, EFFECTIVENESS_OVER, NO_SHARING, OURS, ground, pattern

if TYPE_CHECKING:
    import pandas as pd

    from ..records import Run
    from .set_up import SetUp

_LATENCIES = ("ttft_from_schedule_s.mean", "e2e_s.mean")


class Accounted:
    """Computes the numbers of claims from rows of costs, as :func:`accounted` makes them. ``over``:
    what the rows' ``at`` is; empty: nothing is varied."""

    def __init__(
        self,
        rows: pd.DataFrame,
        set_up: SetUp,
        mode: Literal["live", "simulated"],
        ground: str,
        on: str = "",
        over: str = "",
    ) -> None:
        self._rows, self._set_up, self._over = rows, set_up, over
        self._mode, self._ground, self._on = mode, ground, on

    @classmethod
    def of_study(cls, set_up: SetUp, folder: Path) -> Self:
        about = json.loads((folder / STUDY).read_bytes())
        rows = read_kept(folder / "numbers.parquet").to_pandas()
        basis = f"{len(about['seeds'])} segments, {ground(about['profile'])}"
        return cls(rows, set_up, about["mode"], basis, over=about["study"]["over"])

    @classmethod
    def of_run(cls, set_up: SetUp, run: Run) -> Self:
        import pandas as pd

        chosen = {set_up.ours, *set_up.baselines}
        cells = [cell for cell in run.cells() if cell.system in chosen]
        account = accountings()[set_up.accounting]
        rows = pd.DataFrame(accounted("", math.nan, cells, set_up.ours, [account]))
        about = cells[0].manifest
        return cls(rows, set_up, about.mode, f"record {run.path.name}", about.gpus)

    def measures(self) -> Mapping[str, Callable[[], Ours]]:
        """Return how each claim is measured, by its id."""
        found: dict[str, Callable[[], Ours]] = {"cost-headline": self._gain}
        for each in (b for b in self._set_up.baselines if b in EFFECTIVENESS_OVER):
            found[EFFECTIVENESS_OVER[each]] = partial(self._effectiveness_over, each)
        if self._set_up.at is not None:
            found["ablation-full"] = partial(self._ablation_full, self._set_up.at)
            found["ablation-no-sharing"] = partial(self._ablation_no_sharing, self._set_up.at)
        return found

    def _gain(self) -> Ours:
        best = max((self._largest(b, COST) for b in self._set_up.baselines), key=_ratio)
        return self._told(best.reduction(), percent)

    def _effectiveness_over(self, baseline: str) -> Ours:
        best = self._largest(baseline, EFFECTIVENESS, smallest=True)
        return self._told(best.inverse(), times)

    def _ablation_full(self, at: float) -> Ours:
        values = tuple(self._value(OURS, metric, at) for metric in (*_LATENCIES, self._cost))
        shown = f"{1e3 * values[0]:,.0f} ms / {1e3 * values[1]:,.0f} ms / ${values[2]:.2f}"
        return Ours(values, shown, self._mode, self._where(at), scale=1e3)

    def _ablation_no_sharing(self, at: float) -> Ours:
        values = tuple(
            self._value(NO_SHARING, metric, at) / self._value(OURS, metric, at)
            for metric in (*_LATENCIES, self._cost)
        )
        return Ours(values, " / ".join(map(times, values)), self._mode, self._where(at))

    @property
    def _cost(self) -> str:
        return under(COST, self._set_up.accounting)

    def _where(self, at: float) -> str:
        return f"{pattern(ABLATION)}, {self._at(at)}, {self._ground}"

    def _at(self, at: float) -> str:
        """Format a value of what is varied: "keep-alive, s" at 60 is "keep-alive 60 s"."""
        what, _, unit = self._over.partition(", ")
        return f"{what} {at:g} {unit}".strip()

    def _value(self, system: str, metric: str, at: float) -> float:
        rows = self._rows
        mine = rows[(rows["system"] == system) & (rows["metric"] == metric) & (rows["at"] == at)]
        return float(mine.loc[mine["workload"] == ABLATION, "value"].iloc[0])

    def _largest(self, system: str, metric: str, *, smallest: bool = False) -> Best:
        """Find the condition with the largest, or smallest, ratio of ``system`` to ours."""
        name = ratio_of(under(metric, self._set_up.accounting))
        rows = self._rows[(self._rows["system"] == system) & (self._rows["metric"] == name)]
        row = (min if smallest else max)(rows.to_dict("records"), key=itemgetter("value"))
        varied = f", {self._at(row['at'])}" if self._over else ""
        return Best.of(row, f"{pattern(row['workload'])}{varied}, against {system}")

    def _told(self, best: Best, show: Callable[[float], str]) -> Ours:
        return best.told(show, self._mode, self._ground, self._on)


def _ratio(best: Best) -> float:
    return best.ratio
