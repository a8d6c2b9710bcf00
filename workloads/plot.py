"""Plots a workload on one page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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
    ax.eventplot([times / 60 for _, times in shown], colors=_BLUE, linelengths=0.8, linewidths=0.4)
    if len(shown) <= 12:
        ax.set_yticks(range(len(shown)), [name[:16] for name, _ in shown], fontsize=7)
    else:
        ax.set_ylabel(f"function, the {len(shown)} busiest")
    ax.invert_yaxis()
    ax.set(xlabel="minutes", title="Arrivals", xlim=(0, max(workload.duration_ns, _SECOND) / 60e9))


def _gaps(ax: Axes, workload: Workload) -> None:
    found = np.array([cv(times) for _, times in _by_size(workload)])
    found = np.sort(found[~np.isnan(found)])
    if len(found):
        ax.step(found, (np.arange(len(found)) + 1) / len(found), where="post", color=_BLUE)
    for edge in (1, 4):
        ax.axvline(edge, color="0.6", linewidth=0.8, linestyle=":")
    ax.set(
        xlabel="CV of inter-arrival times (sample)",
        ylabel="share of functions",
        title="Predictable ≤ 1 < normal ≤ 4 < bursty",
        ylim=(0, 1.02),
    )


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
    ax.set(xlabel="window, s", ylabel="index of dispersion", title="Poisson is 1", xscale="log")
    if min(found) > 0:
        ax.set_yscale("log")


def _lengths(ax: Axes, workload: Workload) -> None:
    for name, colour, style in (("prompt", _BLUE, "-"), ("output", _ORANGE, "--")):
        values = np.sort(workload.requests[f"{name}_tokens"].to_numpy())
        ax.step(
            values, (np.arange(len(values)) + 1) / len(values), color=colour, ls=style, label=name
        )
    ax.set(
        xlabel="tokens", ylabel="share of requests", title="Lengths", xscale="log", ylim=(0, 1.02)
    )
    ax.legend(frameon=False, fontsize=8)


def _popularity(ax: Axes, workload: Workload) -> None:
    sizes = np.array([len(times) for _, times in _by_size(workload)])
    ax.plot(np.arange(1, len(sizes) + 1), sizes / sizes.sum(), color=_BLUE, marker=".", ms=4)
    ax.set(
        xlabel="function, by rank",
        ylabel="share of requests",
        title="Popularity",
        xscale="log",
        yscale="log",
    )


_PANELS: dict[str, Callable[[Axes, Workload], None]] = {
    "arrivals": _arrivals,
    "gaps": _gaps,
    "windows": _windows,
    "lengths": _lengths,
    "popularity": _popularity,
}
