"""The style of all figures: colours for colour-blind readers and grey prints, embedded fonts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns

from harness.errors import HarnessError

from .looks import SYSTEMS, Look, in_order, is_ablation, looks

if TYPE_CHECKING:
    from harness.records import Cell, Manifest

__all__ = ["SYSTEMS", "in_order", "is_ablation"]

mpl.use("Agg")

WIDTHS_IN = {"page": 7.0, "column": 3.35}
"""The widths of a page and of one of its two columns (85 mm)."""
PAGE_IN = WIDTHS_IN["page"]
TICK_PT, SMALL_PT = 7, 6

FORMATS = {"png": "Software", "pdf": "CreationDate", "svg": "Date"}
"""The formats that a figure is saved in, each with the key of its metadata that is a date or the
like, which would change the bytes."""

# From Okabe and Ito's palette, ordered so that neighbours also differ in lightness.
STAGES = {
    "queue": ("#d9d9d9", ""),
    "warming": ("#56b4e9", "\\\\\\\\\\\\"),
    "artifacts": ("#e69f00", "////"),
    "model": ("#009e73", "...."),
    "inference": ("#0b3c6f", ""),
}
"""Colour and hatch."""
OWNERS = {
    "weights": ("#0b3c6f", ""),
    "context": ("#56b4e9", "\\\\\\\\"),
    "adapters": ("#e69f00", "////"),
    "kv": ("#009e73", "...."),
    "host_tier": ("#cc79a7", "xxxx"),
    "other": ("#999999", "----"),
}

PUBLISHED = "as published"
_ON = "live on "
_MANY = re.compile(rf"{_ON}((\d+) × )")
_MOST_RUNS = 3
"""A caption names so many runs each by itself."""
UNKNOWN = "not known"
"""Label for missing data, so that it is not taken for zero."""


_WIDTH_IN = ContextVar("width_in", default=PAGE_IN)
_LOOKS: dict[str, Look] = {}
"""Of the systems of the figure that is drawn; set with the style, which is global too."""


@contextmanager
def drawn_for(width: str) -> Iterator[None]:
    """Draw figures as wide as a ``page`` or a ``column``, with type of the same size. Raises
    ``HarnessError`` if the width is neither."""
    if width not in WIDTHS_IN:
        known = " or ".join(WIDTHS_IN)
        raise HarnessError(f"width {width!r} is unknown; choose {known}")
    token = _WIDTH_IN.set(WIDTHS_IN[width])
    try:
        yield
    finally:
        _WIDTH_IN.reset(token)


def width_in() -> float:
    """Return the width of the figures that are being drawn, in inches."""
    return _WIDTH_IN.get()


def is_narrow() -> bool:
    return width_in() < PAGE_IN


def look(system: str) -> Look:
    """Return the look of a label, among the systems that ``apply`` was given."""
    return _LOOKS.get(system) or looks([system])[system]


def published_mark(axis: Any, at: float, value: float, system: str) -> None:
    """Draw a published value of a system as a hollow mark, which the legend names."""
    shown = look(system)
    axis.plot(at, value, shown.mark, mfc="white", mec=shown.colour, ms=6, label=PUBLISHED, zorder=3)


def say_unknown(axis: Any, what: str = "") -> None:
    """Label an empty panel, which has no scale: ``what`` is not known."""
    axis.grid(visible=False)
    axis.tick_params(bottom=False, left=False, labelbottom=False, labelleft=False, which="both")
    axis.text(0.5, 0.5, f"{what} {UNKNOWN}".strip(), transform=axis.transAxes, ha="center")


def apply(systems: Iterable[str]) -> None:
    """Set the style; call before a figure is created. ``systems``: all labels of its records, so
    that a system looks the same in each of their figures."""
    _LOOKS.clear()
    _LOOKS.update(looks(systems))
    sns.set_theme(
        context="paper",
        style="whitegrid",
        rc={
            "figure.dpi": 160,
            "font.size": 8,
            "axes.titlesize": 8,
            "axes.labelsize": 8,
            "legend.fontsize": 7,
            "xtick.labelsize": TICK_PT,
            "ytick.labelsize": TICK_PT,
            "hatch.linewidth": 0.5,
            "legend.handlelength": 3.0,
            "pdf.fonttype": 42,
            "svg.fonttype": "none",
            "svg.hashsalt": "slbench",
            "axes.spines.top": False,
            "axes.spines.right": False,
        },
    )


@dataclass(frozen=True)
class Drawing:
    """A figure with its data. Its caption, which says live or simulated, is part of the figure."""

    name: str
    figure: Any
    data: pd.DataFrame

    def save(self, folder: Path) -> Path:
        """Write PNG, PDF, SVG and CSV; return the PNG's path. Files contain no dates, so that the
        same records give the same bytes. Raise ``HarnessError`` if there can be no such folder."""
        import matplotlib.pyplot as plt

        _make(folder)
        box = _laid_out(self.figure)
        for suffix, key in FORMATS.items():
            path = folder / f"{self.name}.{suffix}"
            self.figure.savefig(path, metadata={key: None}, bbox_inches=box)
        self.data.to_csv(folder / f"{self.name}.csv", index=False, float_format="%.6f")
        plt.close(self.figure)
        return folder / f"{self.name}.png"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(
            f"{folder}: figures cannot be written there ({error.strerror}); name a folder that"
            " can be"
        ) from error


def _laid_out(figure: Any) -> Any:
    """Return the bounding box in inches. Layout runs once instead of once per format, which halves
    the drawing time."""
    from matplotlib import rcParams

    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine(None)
    return figure.get_tightbbox().padded(rcParams["savefig.pad_inches"])


def caption(cells: Sequence[Cell], more: str) -> str:
    """Return the caption: the runs, live with the machine or simulated with the profile."""
    runs = sorted({cell.manifest.run_id for cell in cells})
    named = ", ".join(runs)
    if len(runs) > _MOST_RUNS:
        named = f"{runs[0]} to {runs[-1]}, {len(runs)} in all"
    return joined((grounds(cells), f"run {named}", more, reservations(cells)))


def joined(parts: Iterable[str]) -> str:
    return "; ".join(part for part in parts if part)


def grounds(cells: Sequence[Cell]) -> str:
    """Describe the bases of the cells, each once, and one kind of GPU with all numbers of them."""
    counts: dict[str, set[int]] = {}
    systems = {cell.system for cell in cells}
    for cell in cells:
        told = ground(cell.manifest, systems)
        many = _MANY.match(told)
        one = told if many is None else told.replace(many[1], "")
        counts.setdefault(one, set()).add(1 if many is None else int(many[2]))
    return " and ".join(
        each.replace(_ON, f"{_ON}{_listed(counts[each])}", 1) for each in sorted(counts)
    )


def _listed(counts: set[int]) -> str:
    """Name the numbers of GPUs before their kind; empty if it is always one."""
    *most, last = map(str, sorted(counts))
    return "" if counts == {1} else " and ".join(filter(None, (", ".join(most), last))) + " × "


def reservations(cells: Sequence[Cell]) -> str:
    """Return what limits the numbers of these cells; empty if nothing does."""
    return joined((_unanswered(cells), invalid(cells)))


def _unanswered(cells: Sequence[Cell]) -> str:
    """Tell of each system that left requests unanswered, of which latencies know nothing, the least
    share that it answered under a load."""
    least: dict[str, float] = {}
    for cell in cells:
        count = cell.summary["n"]
        share = cell.summary["ok"] / count if count else 1.0
        least[cell.system] = min(share, least.get(cell.system, 1.0))
    told = [
        f"{look(system).name} {math.floor(1000 * least[system]) / 10:g} %"
        for system in in_order(least)
        if least[system] < 1.0
    ]
    return f"latencies are of what was answered: {', '.join(told)}" if told else ""


def invalid(cells: Sequence[Cell]) -> str:
    """Return a warning that counts the invalid cells; empty if there are none."""
    count = sum(not cell.manifest.valid for cell in cells)
    return f"INVALID: {count} of {len(cells)} cells" if count else ""


def ground(about: Manifest, systems: Collection[str] | None = None) -> str:
    """Describe a cell's basis: live with the machine, or as :func:`simulated`."""
    if about.mode == "live":
        if about.gpus:
            return f"{_ON}{about.gpus.removeprefix('one ')}"
        return f"live on {about.machine['cores']} cores, {about.machine['cpu']}"
    assert about.profile is not None, "a simulated cell names its profile"
    return simulated(about.profile, systems)


def simulated(profile: Mapping[str, Any], systems: Collection[str] | None = None) -> str:
    """Describe a simulation: its profile and how it was checked. ``systems``: those whose errors
    count; None: all."""
    check = profile.get("last_check") or {}
    own = [found for name, found in check.items() if not systems or _system(name) in systems]
    checked = f"checked against live ({_worst(own)})" if own else "not checked against live"
    return f"simulated, profile {profile['name']}, {checked}"


def _system(checked: str) -> str:
    """Return the system of what was checked, "record/system/workload"."""
    return checked.partition("/")[2].partition("/")[0]


def _worst(check: Iterable[Mapping[str, float | None]]) -> str:
    errors = [abs(e) for cell in check for e in cell.values() if e is not None]
    return f"largest error {max(errors):.0%}" if errors else f"errors {UNKNOWN}"


def in_panels(
    cells: Sequence[Cell], tidy: Callable[[Cell], pd.DataFrame]
) -> tuple[list[Cell], pd.DataFrame]:
    """Return cells in panel order (ServerlessLoRA last, as in the paper) and all their data."""
    ordered = sorted(cells, key=lambda c: (c.system.startswith("serverless-lora"), c.system))
    return ordered, pd.concat([tidy(cell) for cell in ordered], ignore_index=True)
