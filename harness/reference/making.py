"""Runs a study and writes its reference records. An interrupted study resumes: its cells are kept
among the runs, under a digest of experiment and code, until all are finished."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cells.plan import plan_cells
from harness.execution.cell_tasks import CellTask, run_cell
from harness.execution.progress import Progress
from harness.execution.runner import Runner
from harness.execution.sweeps import cores, spread

from ..cost import accountings
from ..experiment import Experiment
from ..places import RUNS
from ..records import Run
from ..records.files import STUDY, digests, write_table
from ..records.segments import FILE, distinct, rows
from .accounted import accounted
from .compact import LEVEL, compact
from .numbers import numbers
from .studies import Study
from .windowed import windowed

_SOURCES = ("harness", "systems", "workloads")
_KINDS = {".py", ".toml", ".yaml"}


@dataclass(frozen=True, slots=True)
class NumbersTask:
    """A value of a sweep whose cells are finished."""

    study: Study
    value: float
    path: Path
    baseline: str


def make(
    study: Study, root: Path, progress: Progress, workers: int | None = None, runs: Path = RUNS
) -> Path:
    """Run ``study`` with ``workers`` processes (None: one per core) and write its records to
    ``root``, replacing older ones. Unfinished work is kept under ``runs``."""
    with ExitStack() as stack:
        values: tuple[float | None, ...] = study.values or (None,)
        experiments = {value: stack.enter_context(study.at(value)) for value in values}
        draft = runs / ".reference" / _digest(experiments) / study.name
        processes = cores() if workers is None else workers
        if study.values:
            _sweep(study, experiments, draft, progress, processes)
        else:
            _whole(study, experiments[None], draft, progress, processes)
    place = root / study.name
    shutil.rmtree(place, ignore_errors=True)
    root.mkdir(parents=True, exist_ok=True)
    shutil.move(draft / "record" if study.values else draft, place)
    shutil.rmtree(draft.parent)
    return place


def _whole(
    study: Study, experiment: Experiment, draft: Path, progress: Progress, workers: int
) -> None:
    """Keep the cells of the first seed and, of all seeds, the numbers of each segment."""
    import pandas as pd
    import pyarrow as pa

    run = _opened(experiment, draft)
    Runner(experiment, run, progress).execute(workers)
    cells = run.cells()
    if len(experiment.seeds) > 1:
        table = pd.DataFrame([row for cell in distinct(cells) for row in rows(cell)])
        table = pa.Table.from_pandas(table, preserve_index=False)
        write_table(table, draft / FILE, compression_level=LEVEL)
    for cell in cells:
        if cell.manifest.seed == experiment.seeds[0]:
            compact(cell)
        else:
            shutil.rmtree(cell.path)
    _write_about(draft, study, cells[0].manifest, experiment)


def _sweep(
    study: Study,
    experiments: Mapping[float | None, Experiment],
    draft: Path,
    progress: Progress,
    workers: int,
) -> None:
    import pyarrow as pa

    found = {value: _opened(each, draft / f"{value:g}") for value, each in experiments.items()}
    tasks = [
        CellTask(each, found[value].path, plan)
        for value, each in experiments.items()
        for plan in plan_cells(each)
        if not (found[value].path / plan.path).exists()
    ]
    # Start the largest first, so that they do not run alone at the end. Each has its own process,
    # since a record contains the memory use of its simulation.
    for number, (task, _) in enumerate(spread(run_cell, tasks[::-1], workers, fresh=True), start=1):
        title = f"{study.over} {task.path.name}: {task.plan.title}"
        progress.say(f"[{number}/{len(tasks)}] {study.name}: {title}")
    done = [
        NumbersTask(study, value, found[value].path, experiments[value].against)
        for value in study.values
    ]
    tables = {task.value: table for task, table in spread(_numbers, done, workers)}
    table = [row for value in study.values for row in tables[value]]
    record = draft / "record"
    record.mkdir(exist_ok=True)
    write_table(pa.Table.from_pylist(table), record / "numbers.parquet")
    value = study.values[0]
    about = found[value].cells()[0].manifest
    _write_about(record, study, about, experiments[value])


def _numbers(task: NumbersTask) -> list[dict[str, Any]]:
    study, cells = task.study, Run(task.path, {}).cells()
    known, of = accountings(), (study.name, task.value, cells)
    return [
        # Cells of one run: servers that are billed by the hour have another price sheet.
        *numbers(*of, task.baseline, study.ratios, strict=False),
        *windowed(*of, study.window_s),
        *accounted(*of, task.baseline, [known[name] for name in study.accountings]),
    ]


def _opened(experiment: Experiment, path: Path) -> Run:
    content = experiment.model_dump(mode="json")
    path.mkdir(parents=True, exist_ok=True)
    _write(path / "run.json", content)
    run = Run(path, content)
    run.sweep()
    return run


def _write_about(folder: Path, study: Study, manifest: Any, experiment: Experiment) -> None:
    about = {
        "study": study.model_dump(mode="json"),
        "mode": manifest.mode,
        "profile": manifest.profile,
        "prices": manifest.prices,
        "versions": manifest.versions,
        "machine": manifest.machine,
        "git": manifest.git,
        "seeds": list(experiment.seeds),
        "files": digests(folder),
    }
    _write(folder / STUDY, about)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _digest(experiments: Mapping[float | None, Experiment]) -> str:
    """Digest of the experiments and the code: cells of other code are not resumed."""
    hashed = hashlib.sha256()
    for value, experiment in experiments.items():
        content = experiment.model_dump(mode="json", exclude={"workloads"})
        labels = [each.label for each in experiment.workloads]
        hashed.update(json.dumps([value, content, labels], sort_keys=True).encode())
    top = Path(__file__).parents[2]
    for folder in _SOURCES:
        for path in sorted((top / folder).rglob("*")):
            if path.suffix in _KINDS:
                hashed.update(path.read_bytes())
    return hashed.hexdigest()[:12]
