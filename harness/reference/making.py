"""Runs a study and leaves its reference records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..progress import Progress
from ..records import Run
from ..runner import Runner
from .compact import compact
from .numbers import rows
from .studies import Study


def make(study: Study, root: Path, progress: Progress) -> Path:
    """Run ``study`` and put its records under ``root``, in the place of what was there."""
    path = root / study.name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    if study.values:
        _sweep(study, path, progress)
    else:
        for cell in _run(study, None, path, progress).cells():
            compact(cell)
    return path


def _sweep(study: Study, path: Path, progress: Progress) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table: list[dict[str, Any]] = []
    for value in study.values:
        with TemporaryDirectory(prefix="slbench-study-") as folder:
            cells = _run(study, value, Path(folder) / study.name, progress).cells()
            table += rows(study.name, value, cells)
            about = cells[0].manifest
    pq.write_table(pa.Table.from_pylist(table), path / "numbers.parquet", compression="zstd")
    document = {
        "study": study.model_dump(mode="json"),
        "mode": about.mode,
        "profile": about.profile,
        "prices": about.prices,
        "versions": about.versions,
        "git": about.git,
        "seeds": [about.seed],
    }
    (path / "study.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _run(study: Study, value: float | None, path: Path, progress: Progress) -> Run:
    with study.at(value) as experiment:
        content = experiment.model_dump(mode="json")
        path.mkdir(parents=True, exist_ok=True)
        (path / "run.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        run = Run(path, content)
        if value is not None:
            progress.say(f"{study.name}: {study.over} {value:g}")
        Runner(experiment, run, progress).execute()
    return run
