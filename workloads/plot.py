"""Plots a workload on one page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import WorkloadError
from .statistics import cv, dispersion
from .trace import Workload

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS = 40
"""Number of functions with their own line; the busiest ones."""
_SECOND = 10**9
"""The least width of the arrivals, in nanoseconds."""
_BLUE, _ORANGE = "#0072B2", "#D55E00"  # Okabe and Ito, safe for colour-blind readers


def plot(workload: Workload, path: Path) -> None:
    """Draw to ``path`` (.png, .pdf or .svg). Raises ``WorkloadError`` if it cannot be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 7.6), layout="constrained")
    axes = figure.subplot_mosaic(
        [["arrivals", "arrivals"], ["gaps", "windows"], ["lengths", "popularity"]],
        height_ratios=(1.4, 1, 1),
    )
    figure.suptitle(f"{workload.name}: {len(workload)} requests, {workload.provenance.kind}")
    for name, draw in _PANELS.items():
        draw(axes[name], workload)
        axes[name].spines[["top", "right"]].set_visible(False)
        axes[name].minorticks_off()
    try:
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    except (OSError, ValueError) as error:
        raise WorkloadError(f"{path}: cannot be drawn ({error})") from error


def _by_size(workload: Workload) -> list[tuple[str, Any]]:
    rows = sorted(workload.rows().items(), key=lambda item: (-len(item[1]), item[0]))
    times = workload.requests["arrival_ns"].to_numpy() / 1e9
    return [(function, times[np.sort(mine)]) for function, mine in rows]


def _arrivals(ax: Axes, workload: Workload) -> None:
    shown = _by_size(workload)[:MOST_ROWS]
    minutes, rows = [times / 60 for _, times in shown], range(len(shown))
    ax.eventplot(minutes, lineoffsets=rows, colors=_BLUE, linelengths=0.8, linewidths=0.4)
    if len(shown) <= 12:
        ax.set_yticks(rows, [name[:16] for name, _ in shown], fontsize=7)
    else:
        ax.set_ylabel(f"function, the {len(shown)} busiest")
    ax.invert_yaxis()
    ax.set(xlabel="minutes", title="Arrivals", xlim=(0, max(workload.duration_ns, _SECOND) / 60e9))


def _gaps(ax: Axes, workload: Workload) -> None:
    found = np.array([cv(times) for _, times in _by_size(workload)])
    found = np.sort(found[~np.isnan(found)])
    if len(found):
        _shares(ax, found, color=_BLUE)
    else:
        ax.text(0.5, 0.5, "too few requests", ha="center", transform=ax.transAxes)
    for edge in (1, 4):
        ax.axvline(edge, color="0.6", linewidth=0.8, linestyle=":")
    ax.set(
        xlabel="CV of inter-arrival times (sample)",
        ylabel="share of functions",
        title="Predictable ≤ 1 < normal ≤ 4 < bursty",
        xlim=(0, max(5, 1.05 * found.max(initial=0))),
        ylim=(0, 1.02),
    )


def _shares(ax: Axes, ascending: NDArray[Any], **look: Any) -> None:
    """Draw the share of values up to each; from 0, so that a single value is a line too."""
    shares = np.arange(len(ascending) + 1) / len(ascending)
    ax.step([ascending[0], *ascending], shares, where="post", **look)


def _log(ax: Axes, *sides: Literal["x", "y"]) -> None:
    """Scale logarithmically what is drawn, with plain numbers; below two decades also at 2 and 5,
    since a part of a decade may have no power of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    for side in sides:
        ax.set(**{f"{side}scale": "log"})
        low, high = getattr(ax, f"get_{side}lim")()
        axis = getattr(ax, f"{side}axis")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _windows(ax: Axes, workload: Workload) -> None:
    duration_s = workload.duration_ns / 1e9
    lengths = [w for w in (1, 3, 10, 30, 60, 180, 600, 1800, 3600) if w <= duration_s / 4]
    times = workload.arrivals_s()
    found = [dispersion(times, w, duration_s) for w in lengths]
    if not found:
        ax.set_title("Too short for windows")
        ax.set_axis_off()
        return
    ax.plot(lengths, found, marker="o", markersize=3, color=_BLUE)
    ax.axhline(1, color="0.6", linewidth=0.8, linestyle=":")
    ax.set(xlabel="window, s", ylabel="index of dispersion", title="Poisson is 1")
    _log(ax, "x", *(("y",) if min(found) > 0 else ()))


def _lengths(ax: Axes, workload: Workload) -> None:
    for name, colour, style in (("prompt", _BLUE, "-"), ("output", _ORANGE, "--")):
        values = np.sort(workload.requests[f"{name}_tokens"].to_numpy())
        _shares(ax, values, color=colour, ls=style, label=name)
    ax.set(xlabel="tokens", ylabel="share of requests", title="Lengths", ylim=(0, 1.02))
    _log(ax, "x")
    ax.legend(frameon=False, fontsize=8)


def _popularity(ax: Axes, workload: Workload) -> None:
    sizes = np.array([len(times) for _, times in _by_size(workload)])
    ax.plot(np.arange(1, len(sizes) + 1), sizes / sizes.sum(), color=_BLUE, marker=".", ms=4)
    ax.set(xlabel="function, by rank", ylabel="share of requests", title="Popularity")
    _log(ax, "x", "y")


_PANELS: dict[str, Callable[[Axes, Workload], None]] = {
    "arrivals": _arrivals,
    "gaps": _gaps,
    "windows": _windows,
    "lengths": _lengths,
    "popularity": _popularity,
}
