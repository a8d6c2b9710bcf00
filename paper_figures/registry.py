"""Figures by name. A figure of a run is a module with ``draw_figure(run)``, which yields drawings;
one of several runs side by side has ``draw_runs(runs)``, and ``KINDS`` if it takes sweeps too; one
of a sweep, or of a run with one, is a module with ``PANELS`` (and ``MORE`` for the caption); one of
a search for capacities has ``draw_search(record)``. Each has a line here. sources.toml lists the
reference records of each figure."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from harness.errors import HarnessError
from harness.places import located
from workloads.unknown import unknown

from .errors import NothingToDrawError

if TYPE_CHECKING:
    from harness.capacity import CapacityRecord
    from harness.records import Run

    from .style import Drawing
    from .sweep import Sweep

    Record: TypeAlias = Run | Sweep | CapacityRecord

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
_SIDE_BY_SIDE = {
    "price-of-isolation": "paper_figures.price_of_isolation",
    "crossing": "paper_figures.crossing",
}
_SWEEPS = {
    "throughput": "paper_figures.throughput",
    "strong-scaling": "paper_figures.strong_scaling",
    "weak-scaling": "paper_figures.weak_scaling",
    "scheduler-overhead": "paper_figures.scheduler_overhead",
    "adapters": "paper_figures.adapters",
    "keep-alive": "paper_figures.keep_alive",
    "device-memory": "paper_figures.device_memory",
    "regimes": "paper_figures.regimes",
}
_SEARCH = "search for capacities"
_SEARCHES = {
    "capacity": "paper_figures.capacity",
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """``paths``: the PNGs. ``skipped``: one line per skipped figure, with the reason."""

    paths: Sequence[Path]
    skipped: Sequence[str] = ()


def figure_names() -> list[str]:
    """List the figures of runs."""
    return [*_FIGURES, *_SIDE_BY_SIDE]


def sweep_names() -> list[str]:
    """List the figures of sweeps."""
    return list(_SWEEPS)


def open_record(name: str | Path) -> Record:
    """Open a run, a sweep or a search for capacities by its folder or id. Raises ``RecordError`` if
    it is none."""
    from harness.capacity import is_capacity, open_capacity
    from harness.records import open_run

    from .sweep import is_sweep, open_sweep

    path = located(name)
    if is_capacity(path):
        return open_capacity(path)
    return open_sweep(path) if is_sweep(path) else open_run(name)


def names_for(record: Record) -> list[str]:
    """List the figures of a record: all of its kind; for a run with a sweep also those of sweeps
    that its experiment names, or the throughput; for a study's sweep those of its study. Raises
    ``HarnessError`` if the study has none."""
    from harness.records import Run

    from .run_sweeps import is_swept
    from .sweep import Sweep

    if isinstance(record, Run):
        named = [name for name in record.experiment.get("figures", ()) if name in _SWEEPS]
        return [*figure_names(), *((named or ["throughput"]) if is_swept(record) else [])]
    if not isinstance(record, Sweep):
        return list(_SEARCHES)
    found = [name for name in [*_SWEEPS, *_SIDE_BY_SIDE] if record.study in sources()[name]]
    if not found:
        every = ", ".join(_SWEEPS)
        raise HarnessError(f"sweep {record.id}: its study has no figure; name one of {every}")
    return found


def drawings(name: str, record: Record, *beside: Record) -> Iterable[Drawing]:
    """Yield the drawings of a figure. ``beside``: further runs, for a figure that draws runs side
    by side. Raises ``HarnessError`` if the name is unknown, and ``NothingToDrawError`` if the
    records lack the data."""
    from . import sweep_panels
    from .sweep import Sweep

    module = _module(name)
    for each in (record, *beside):
        _check_kind(name, each)
    if name in _SIDE_BY_SIDE:
        found: Iterable[Drawing] = module.draw_runs((record, *beside))
    elif isinstance(record, Sweep):
        found = [sweep_panels.draw(name, record, module.PANELS, getattr(module, "MORE", ""))]
    elif name in _SWEEPS:
        found = _curves(name, cast("Run", record))
    else:
        found = (module.draw_search if name in _SEARCHES else module.draw_figure)(record)
    return found


def _curves(name: str, run: Run) -> Iterable[Drawing]:
    """Yield a drawing for each series of the run's sweep. What the paper published belongs to its
    own sweep, and is not drawn."""
    from . import sweep_panels
    from .run_sweeps import sweeps

    module = _module(name)
    panels = [replace(panel, published=()) for panel in module.PANELS]
    for series, sweep in sweeps(run):
        told = f"{name}-{series}" if series else name
        yield sweep_panels.draw(told, sweep, panels, getattr(module, "MORE", ""))


def _check_kind(name: str, record: Record) -> None:
    from .sweep import Sweep

    kind = _kind(record)
    if kind not in _kinds_drawn(name):
        raise NothingToDrawError(f"{record.id} is a {kind}")
    if not isinstance(record, Sweep) and not record.cells():
        raise NothingToDrawError(f"{kind} {record.id}: no finished cell")


def _kind(record: Record) -> str:
    from harness.records import Run

    from .sweep import Sweep

    return "run" if isinstance(record, Run) else "sweep" if isinstance(record, Sweep) else _SEARCH


def _kinds_drawn(name: str) -> tuple[str, ...]:
    if name in _SWEEPS:
        return ("sweep", "run")
    if name in _SEARCHES:
        return (_SEARCH,)
    return getattr(_module(name), "KINDS", ("run",))


def draw(name: str, record: Record, folder: Path, *beside: Record) -> list[Path]:
    """Draw a figure into ``folder`` as PNG, PDF and SVG, with a CSV of its data; return the PNGs.
    Raises as :func:`drawings` does."""
    return [drawing.save(folder) for drawing in drawings(name, record, *beside)]


def draw_each(names: Sequence[str], record: Record, folder: Path, *beside: Record) -> Drawn:
    """Draw the figures for which the records have data. Raises ``HarnessError`` if a name is
    unknown, before drawing."""
    for name in names:
        _module(name)
    paths: list[Path] = []
    skipped: list[str] = []
    for name in names:
        try:
            paths += draw(name, record, folder, *beside)
        except NothingToDrawError as reason:
            skipped.append(f"{name}: {reason}")
    return Drawn(paths, skipped)


def draw_records(names: Sequence[str], records: Sequence[Record], folder: Path) -> Drawn:
    """Draw the figures, or without names those of each record: from each record into a folder of
    its own if there are several, and those that draw runs side by side from all runs at once."""
    if len(records) == 1:
        return draw_each(names or names_for(records[0]), records[0], folder)
    drawn = []
    for record in records:
        own = [name for name in names or names_for(record) if name not in _SIDE_BY_SIDE]
        drawn.append(draw_each(own, record, folder / record.id))
    drawn.append(_drawn_side_by_side(names, records, folder))
    return Drawn(
        [path for each in drawn for path in each.paths],
        [line for each in drawn for line in each.skipped],
    )


def _drawn_side_by_side(names: Sequence[str], records: Sequence[Record], folder: Path) -> Drawn:
    from harness.records import Run

    shared = [name for name in names or _SIDE_BY_SIDE if name in _SIDE_BY_SIDE]
    runs = [record for record in records if names or isinstance(record, Run)]
    return draw_each(shared, runs[0], folder, *runs[1:]) if runs else Drawn([])


def draw_reference(name: str, reference: Path, folder: Path) -> list[Path]:
    """Draw a figure from each record under ``reference`` that sources.toml lists for it, or from
    all of them side by side."""
    _module(name)
    if name in _SIDE_BY_SIDE:
        first, *others = (open_record(reference / source) for source in sources()[name])
        return draw(name, first, folder, *others)
    paths = []
    for index, source in enumerate(sources()[name]):
        for drawing in drawings(name, open_record(reference / source)):
            own = drawing if index == 0 else replace(drawing, name=_joined(drawing.name, source))
            paths.append(own.save(folder))
    return paths


def sources() -> dict[str, list[str]]:
    """The reference records of each figure."""
    text = (files("paper_figures") / "sources.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _joined(name: str, record: str) -> str:
    return record if record.startswith(name) else f"{name}-{record}"


def _module(name: str) -> Any:
    known = _FIGURES | _SIDE_BY_SIDE | _SWEEPS | _SEARCHES
    if name not in known:
        raise HarnessError(unknown("figure", name, list(known)))
    return importlib.import_module(known[name])
