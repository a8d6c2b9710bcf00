"""Figures by name. A module of a run offers ``draw_figure(run)``, which gives drawings; one of a
sweep offers ``PANELS`` (and ``MORE`` for the caption); and a line here. From which reference
records they are drawn stands in sources.toml."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from importlib.resources import files
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
    "cost-of-serving": "paper_figures.cost_of_serving",
    "slo-violations": "paper_figures.slo_violations",
    "ablation": "paper_figures.ablation",
    "cost-against-ttft": "paper_figures.cost_against_ttft",
}
_SWEEPS = {
    "throughput": "paper_figures.throughput",
    "strong-scaling": "paper_figures.strong_scaling",
    "weak-scaling": "paper_figures.weak_scaling",
    "scheduler-overhead": "paper_figures.scheduler_overhead",
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
    """The same from each record under ``reference`` that sources.toml names for the figure."""
    module = _module(name, _FIGURES | _SWEEPS)
    paths = []
    for index, record in enumerate(sources()[name]):
        for drawing in _drawings(name, module, reference / record):
            own = drawing if index == 0 else replace(drawing, name=_joined(drawing.name, record))
            paths.append(own.save(folder))
    return paths


def sources() -> dict[str, list[str]]:
    """By figure, the reference records that it is drawn from."""
    text = (files("paper_figures") / "sources.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _drawings(name: str, module: Any, record: Path) -> Iterable[Drawing]:
    from harness.records import open_run

    from . import sweep_panels
    from .sweep import open_sweep

    if name in _FIGURES:
        found: Iterable[Drawing] = module.draw_figure(open_run(record))
        return found
    more = getattr(module, "MORE", "bands: 95 %")
    return [sweep_panels.draw(name, open_sweep(record), module.PANELS, more)]


def _joined(name: str, record: str) -> str:
    return record if record.startswith(name) else f"{name}-{record}"


def _module(name: str, among: dict[str, str]) -> Any:
    if name not in among:
        raise HarnessError(f"figure {name!r} is unknown; known: {', '.join(among)}")
    return importlib.import_module(among[name])
