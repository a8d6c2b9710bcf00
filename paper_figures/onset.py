"""Where ratios begin to matter: the first point of each line that is as high as a given ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def onsets(rows: pd.DataFrame, least: float) -> pd.DataFrame:
    """Return the first row along ``at`` of each system whose value is at least ``least``, and whose
    interval, where there is one, lies above 1."""
    above = rows[(rows["value"] >= least) & ~(rows["low"].astype(float) <= 1)]
    return above.sort_values("at").groupby("system", as_index=False).first()


def ring(axis: Any, rows: pd.DataFrame, least: float) -> list[str]:
    """Draw a line at the ratio 1 and a ring around each onset; return what the caption says of the
    rings, if there is one."""
    axis.axhline(1, color="black", lw=0.6)
    found = onsets(rows, least)
    if found.empty:
        return []
    axis.plot(
        found["at"], found["value"], "o", mfc="none", mec="black", ms=8, mew=0.8, clip_on=False
    )
    return [f"ring: the first point of at least {least:g} times the complete"]
