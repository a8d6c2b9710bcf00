"""The style of all figures: colours for colour-blind readers and grey prints, embedded fonts."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns

if TYPE_CHECKING:
    from harness.records import Cell, Manifest

mpl.use("Agg")

PAGE_IN, COLUMN_IN = 7.0, 3.3

# From Okabe and Ito's palette, ordered so that neighbours also differ in lightness.
STAGES = {
    "queue": "#d9d9d9",
    "warming": "#56b4e9",
    "artifacts": "#e69f00",
    "model": "#009e73",
    "inference": "#0b3c6f",
}
OWNERS = {
    "weights": "#0b3c6f",
    "context": "#56b4e9",
    "adapters": "#e69f00",
    "kv": "#009e73",
    "host_tier": "#cc79a7",
    "other": "#999999",
}

SYSTEMS = {
    "serverless-lora": ("ServerlessLoRA", "#0b3c6f", "o"),
    "serverless-lora-tenant": ("ServerlessLoRA, tenant", "#4f86c6", "h"),
    "serverless-lora-backbone": ("ServerlessLoRA, backbone", "#a8c8e8", "H"),
    "serverless-llm": ("ServerlessLLM", "#e69f00", "s"),
    "instainfer": ("InstaInfer", "#56b4e9", "^"),
    "serverless-lora-no-sharing": ("− sharing", "#cc79a7", "D"),
    "serverless-lora-no-preloading": ("− pre-loading", "#009e73", "v"),
    "serverless-lora-no-offloading": ("− offloading", "#8c8c8c", "P"),
    "serverless-lora-no-adaptive-batching": ("− adaptive batching", "#d9b38c", "X"),
    "vllm": ("vLLM", "#d55e00", "<"),
    "multi-lora": ("multi-lora", "#009e73", "X"),
    "dlora": ("dLoRA", "#8c6bb1", "P"),
    "vllm-dedicated": ("vLLM, one server a function", "#f0c9a8", ">"),
    "vllm-sleep": ("vLLM, sleep mode", "#a63603", "d"),
    "naive": ("transformers + peft", "#bdbdbd", "p"),
}
"""Display name, colour (neighbours differ in lightness) and marker by label. For
``serverless-lora-tenant`` and ``-backbone`` see docs/isolation.md."""
OTHERS = (("#6b6b6b", "*"), ("#a6761d", "p"), ("#7570b3", "d"), ("#66a61e", "8"))
"""Colour and marker of labels without an entry of their own."""
ABLATIONS = tuple(name for name in SYSTEMS if name.startswith("serverless-lora-no-"))
UNKNOWN = "not known"
"""Label for missing data, so that it is not taken for zero."""


def look(system: str) -> tuple[str, str, str]:
    """Return name, colour and marker of the label ``system``. An unknown label is its own name, and
    has one of the other looks, always the same."""
    return SYSTEMS.get(system) or (system, *OTHERS[zlib.crc32(system.encode()) % len(OTHERS)])


def in_order(systems: Iterable[str]) -> list[str]:
    """Sort systems as in the legend: ServerlessLoRA, baselines, ablations, others."""
    known = list(SYSTEMS)
    return sorted(set(systems), key=lambda s: (known.index(s) if s in known else 99, s))


def legend(figure: Any, columns: int | None = None, title: str | None = None) -> None:
    """Draw one legend above the panels, with every label once, and above it the figure's title."""
    found: dict[str, Any] = {}
    for axis in figure.axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(
        found.values(), found, ncols=columns or max(len(found), 1), frameon=False,
        loc="outside upper center", title=title,
    )  # fmt: skip


def say_unknown(axis: Any, what: str = "") -> None:
    """Label an empty panel: ``what`` is not known."""
    axis.text(0.5, 0.5, f"{what} {UNKNOWN}".strip(), transform=axis.transAxes, ha="center")


def apply() -> None:
    """Set the style; call before a figure is created."""
    sns.set_theme(
        context="paper",
        style="whitegrid",
        rc={
            "figure.dpi": 160,
            "font.size": 8,
            "axes.titlesize": 8,
            "axes.labelsize": 8,
            "legend.fontsize": 7,
            "xtick.labelsize": 7,
            "ytick.labelsize": 7,
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
        same records give the same bytes."""
        import matplotlib.pyplot as plt

        folder.mkdir(parents=True, exist_ok=True)
        box = _laid_out(self.figure)
        for suffix in ("png", "pdf", "svg"):
            key = {"pdf": "CreationDate", "svg": "Date", "png": "Software"}[suffix]
            path = folder / f"{self.name}.{suffix}"
            self.figure.savefig(path, metadata={key: None}, bbox_inches=box)
        self.data.to_csv(folder / f"{self.name}.csv", index=False, float_format="%.6f")
        plt.close(self.figure)
        return folder / f"{self.name}.png"


def _laid_out(figure: Any) -> Any:
    """Return the bounding box in inches. Layout runs once instead of once per format, which halves
    the drawing time."""
    from matplotlib import rcParams

    figure.draw_without_rendering()
    figure.set_layout_engine(None)
    return figure.get_tightbbox().padded(rcParams["savefig.pad_inches"])


def caption(cells: Sequence[Cell], more: str) -> str:
    """Return the caption: the runs, live with the machine or simulated with the profile."""
    runs = ", ".join(sorted({cell.manifest.run_id for cell in cells}))
    parts = (grounds(cells), f"run {runs}", more, invalid(cells))
    return "; ".join(part for part in parts if part)


def grounds(cells: Sequence[Cell]) -> str:
    """Describe the bases of the cells, each once."""
    return " and ".join(sorted({ground(cell.manifest) for cell in cells}))


def invalid(cells: Sequence[Cell]) -> str:
    """Return a warning that counts the invalid cells; empty if there are none."""
    count = sum(not cell.manifest.valid for cell in cells)
    return f"INVALID: {count} of {len(cells)} cells" if count else ""


def ground(about: Manifest) -> str:
    """Describe a cell's basis: live with the machine, or simulated with profile and its error."""
    if about.mode == "live":
        if gpu := about.machine.get("gpu"):
            return f"live on {gpu}"
        return f"live on {about.machine['cores']} cores, {about.machine['cpu']}"
    assert about.profile is not None, "a simulated cell names its profile"
    return simulated(about.profile)


def simulated(profile: Mapping[str, Any]) -> str:
    """Describe a simulation: its profile and how it was checked."""
    check = profile.get("last_check")
    checked = f", checked against live ({_worst(check)})" if check else ", not checked against live"
    return f"simulated, profile {profile['name']}{checked}"


def _worst(check: Mapping[str, Mapping[str, float | None]]) -> str:
    errors = [abs(e) for cell in check.values() for e in cell.values() if e is not None]
    return f"largest error {max(errors):.0%}" if errors else f"errors {UNKNOWN}"


def in_panels(
    cells: Sequence[Cell], tidy: Callable[[Cell], pd.DataFrame]
) -> tuple[list[Cell], pd.DataFrame]:
    """Return cells in panel order (ServerlessLoRA last, as in the paper) and all their data."""
    ordered = sorted(cells, key=lambda c: (c.system.startswith("serverless-lora"), c.system))
    return ordered, pd.concat([tidy(cell) for cell in ordered], ignore_index=True)
