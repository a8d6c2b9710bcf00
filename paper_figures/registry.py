"""Figures by name. A module of a run offers ``draw_figure(run)``, which gives drawings, and
``SOURCE``, the reference record that it is drawn from by default; one of a sweep offers ``PANELS``
and is drawn from the study of its name; and a line here."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.records import Run

    from .style import Drawing

_FIGURES = {
    "time-breakdown": "paper_figures.time_breakdown",
    "memory-over-time": "paper_figures.memory_over_time",
    "ttft-by-pattern": "paper_figures.ttft_by_pattern",
    "ttft-distribution": "paper_figures.ttft_distribution",
    "tpot-and-e2e": "paper_figures.tpot_and_e2e",
    "cost-by-pattern": "paper_figures.cost_by_pattern",
    "slo-violations": "paper_figures.slo_violations",
    "ablation": "paper_figures.ablation",
    "cost-against-ttft": "paper_figures.cost_against_ttft",
}
_SWEEPS = {
    "throughput": "paper_figures.throughput",
    "strong-scaling": "paper_figures.strong_scaling",
    "weak-scaling": "paper_figures.weak_scaling",
    "adapters": "paper_figures.adapters",
    "keep-alive": "paper_figures.keep_alive",
    "device-memory": "paper_figures.device_memory",
}


def figure_names() -> list[str]:
    """Those that any run can be drawn as."""
    return list(_FIGURES)


def sweep_names() -> list[str]:
    """Those that are drawn from sweeps."""
    return list(_SWEEPS)


def draw(name: str, run: Run, folder: Path) -> list[Path]:
    """Draw a figure from a run into ``folder``: PNG for people, PDF and SVG for papers, and a CSV
    of what it shows. The PNGs; ``HarnessError`` where the name is unknown."""
    drawings: Iterable[Drawing] = _module(name, _FIGURES).draw_figure(run)
    return [drawing.save(folder) for drawing in drawings]


def draw_reference(name: str, reference: Path, folder: Path) -> list[Path]:
    """The same from the record under ``reference`` that the figure names as its source."""
    from harness.records import open_run

    from . import sweep_panels
    from .sweep import open_sweep

    module = _module(name, _FIGURES | _SWEEPS)
    if name in _FIGURES:
        return draw(name, open_run(reference / module.SOURCE), folder)
    return [sweep_panels.draw(name, open_sweep(reference / name), module.PANELS).save(folder)]


def _module(name: str, among: dict[str, str]) -> Any:
    if name not in among:
        raise HarnessError(f"figure {name!r} is unknown; known: {', '.join(among)}")
    return importlib.import_module(among[name])
