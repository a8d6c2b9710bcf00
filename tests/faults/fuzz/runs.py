"""Corrupt runs: a document or a table truncated, of wrong types, missing, with huge numbers or NaN.
Each reader of runs reads it: comparison, report, figures, Python, fidelity."""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.api import load_run
from harness.comparison import compare_runs, open_runs
from harness.experiment_files import load
from harness.fidelity.twins import twin_of
from harness.places import REFERENCE
from harness.records import open_run
from harness.report.page import page
from paper_figures import NothingToDrawError, names_for, open_record
from paper_figures.registry import drawings
from tests.harness.made import made_run

from .mutations import SPOIL, Random, some_leaf
from .tally import Tally, spread

DOCUMENTS = ("run.json", "manifest.json", "summary.json", "study.json")
SEALED = ("manifest.json", "study.json")
HUGE = (0, -1, 1, 2**31, 2**62, -(2**63), 2**63 - 1)
ODD = (float("nan"), float("inf"), -float("inf"), 1e308, -1.0, 0.0, 5e-324)


def runs(examples: int, seed: int, folder: Path) -> Tally:
    """Read each corrupt run with each reader in turn. Digests are left out of most runs, since they
    would be the only thing that finds a change."""
    return _tally("runs", _good(folder / "good"), READERS, examples, seed)


def sweeps(examples: int, seed: int, folder: Path) -> Tally:
    """Draw each corrupt sweep."""
    path = folder / "sweep"
    shutil.copytree(REFERENCE / "device-memory", path)
    return _tally("sweeps", path, {"figures": _draw}, examples, seed)


def _tally(
    kind: str, good: Path, readers: Mapping[str, Callable[[Path], None]], examples: int, seed: int
) -> Tally:
    tally, names, path = Tally(kind), list(readers), good.parent / "spoilt"
    for number, way in spread(examples, SPOILT):
        random = np.random.default_rng([seed, number])
        shutil.copytree(good, path)
        SPOILT[way](random, path)
        name = names[(number // len(SPOILT)) % len(names)]
        about = f"{kind} {number} of seed {seed}, {way}, {name}"
        tally.attempt(about, partial(_quietly, readers[name], path))
        shutil.rmtree(path)
    return tally


def _good(root: Path) -> Path:
    """A run of two systems, with the whole experiment in its ``run.json``."""
    path = made_run(root).path
    experiment = load("quickstart").model_dump(mode="json")
    (path / "run.json").write_text(json.dumps(experiment), encoding="utf-8")
    return path


def _quietly(read: Callable[[Path], Any], path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read(path)


# -- readers ---------------------------------------------------------------------------------------


def _compare(path: Path) -> None:
    compare_runs(open_runs([str(path)]))


def _report(path: Path) -> None:
    page([open_run(path)])


def _draw(path: Path) -> None:
    record = open_record(path)
    for name in names_for(record):
        with contextlib.suppress(NothingToDrawError):
            list(drawings(name, record))
        plt.close("all")


def _python(path: Path) -> None:
    run = load_run(path)
    for frame in ("requests", "spans", "memory", "bill", "problems"):
        getattr(run, frame)


def _twin(path: Path) -> None:
    twin_of(open_run(path), "h100")


READERS: Mapping[str, Callable[[Path], None]] = {
    "compare": _compare,
    "report": _report,
    "figures": _draw,
    "python": _python,
    "fidelity": _twin,
}

# -- corruptions -----------------------------------------------------------------------------------


def _some(random: Random, paths: list[Path]) -> Path:
    return sorted(paths)[int(random.integers(len(paths)))]


def _document(random: Random, run: Path) -> Path:
    return _some(random, [path for name in DOCUMENTS for path in run.rglob(name)])


def _unsealed(run: Path) -> None:
    for path in [path for name in SEALED for path in run.rglob(name)]:
        content = json.loads(path.read_bytes())
        path.write_text(json.dumps({**content, "files": None}), encoding="utf-8")


def _spoil_a_value(random: Random, run: Path) -> None:
    _unsealed(run)
    path = _document(random, run)
    text = json.dumps(some_leaf(random, json.loads(path.read_bytes())))
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def _spoil_bytes(random: Random, run: Path) -> None:
    """Change any file, a table too, with or without its digest."""
    if random.integers(2):
        _unsealed(run)
    path = _some(random, [each for each in run.rglob("*") if each.is_file()])
    spoil = list(SPOIL.values())[int(random.integers(len(SPOIL)))]
    path.write_bytes(spoil(random, path.read_bytes()))


def _remove(random: Random, run: Path) -> None:
    _some(random, [each for each in run.rglob("*") if each.is_file()]).unlink()


def _spoil_a_column(random: Random, run: Path) -> None:
    """Replace some values of a column by extreme ones, all by null, or its type."""
    _unsealed(run)
    path = _some(random, list(run.rglob("*.parquet")))
    table = pq.read_table(path)
    at = int(random.integers(table.num_columns))
    name, column = table.column_names[at], table.column(at)
    match int(random.integers(4)):
        case 0:
            changed = table.remove_column(at)
        case 1:
            changed = table.set_column(at, name, pa.nulls(len(column), column.type))
        case 2:
            changed = table.set_column(at, name, pa.array(["x"] * len(column)))
        case _:
            changed = table.set_column(at, name, _extreme(random, column))
    pq.write_table(changed, path)


def _extreme(random: Random, column: pa.ChunkedArray) -> pa.Array:
    kind, values = column.type, column.to_pylist()
    odd: tuple[Any, ...] = ("", "\n\x1b[2J", "é" * 1000, None)
    if pa.types.is_floating(kind):
        odd = ODD
    elif pa.types.is_integer(kind):
        most = 2 ** (kind.bit_width - 1) - 1
        odd = tuple(max(-most - 1, min(each, most)) for each in HUGE)
    elif pa.types.is_list(kind):
        odd = ([], [2**62] * 3, [-1], None)
    for at in range(len(values)):
        if random.integers(2):
            values[at] = odd[int(random.integers(len(odd)))]
    return pa.array(values, kind)


def _spoil_rows(random: Random, run: Path) -> None:
    """Leave a table empty, or repeat its rows."""
    _unsealed(run)
    path = _some(random, list(run.rglob("*.parquet")))
    table = pq.read_table(path)
    changed = table.slice(0, 0) if random.integers(2) else pa.concat_tables([table] * 3)
    pq.write_table(changed, path)


SPOILT: Mapping[str, Callable[[Random, Path], None]] = {
    "a value": _spoil_a_value,
    "bytes": _spoil_bytes,
    "a file": _remove,
    "a column": _spoil_a_column,
    "rows": _spoil_rows,
    "another value": _spoil_a_value,
    "another column": _spoil_a_column,
}
