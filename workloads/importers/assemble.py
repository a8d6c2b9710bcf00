"""Turns rows into a workload: handles bad rows, sorts arrivals from 0, writes the provenance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ..columns import OPTIONAL
from ..errors import WorkloadError
from ..trace import SCHEMA, Provenance, Workload
from .bad_rows import BadRows
from .base import Format, Options
from .dequantise import RULE, grid_ns, spread
from .files import checksum, stem
from .function_names import deployable
from .rows import Rows

Kind = Literal["recorded", "expanded", "composed"]


def assemble(
    form: Format,
    options: Options,
    rows: Rows,
    bad: BadRows,
    *,
    quantised: bool = False,
    kind: Kind = "recorded",
    **more: Any,
) -> Workload:
    """Build the workload of ``rows`` without those in ``bad``, of the stretch in ``options``.
    ``more`` is stored in the provenance, such as the size of a prefix block. Raises
    ``WorkloadError`` if bad rows are not allowed or no row is left."""
    skipped = bad.settle(skip=options.skip_bad)
    good = rows.take(np.flatnonzero(~np.isin(rows.lines, bad.lines)))
    if not len(good):
        raise WorkloadError(f"{bad.path}: has no readable {form.name} row")
    good = good.take(np.argsort(good.at_ns, kind="stable"))
    provenance = start(form, bad.path, kind).then(
        "import",
        format=form.name,
        clock=form.clock,
        resolution_ns=form.resolution_ns,
        rows=len(good),
        **skipped,
        **more,
    )
    functions, renamed = deployable(good.functions)
    if renamed:
        good, provenance = replace(good, functions=functions), provenance.then("names", **renamed)
    times, provenance = _times(good, provenance, options, bad.path, quantised)
    return _stretch(_workload(good, times, form, provenance, bad.path), options, bad.path)


def _stretch(workload: Workload, options: Options, path: Path) -> Workload:
    if not options.start_s and options.duration_s is None:
        return workload
    left_s = workload.duration_ns / 1e9 - options.start_s
    length_s = left_s if options.duration_s is None else options.duration_s
    found = workload.window(options.start_s, length_s)
    if not len(found):
        until = "" if options.duration_s is None else f", for {length_s:g} s"
        raise WorkloadError(f"{path}: has no request from second {options.start_s:g} on{until}")
    return found


def start(form: Format, path: Path, kind: Kind = "recorded") -> Provenance:
    """Return the provenance of a file before any step."""
    return Provenance(
        kind=kind,
        source=form.source,
        licence=form.licence,
        attribution=form.attribution,
        checksum=f"sha256:{checksum(path)}",
    )


def _times(
    rows: Rows, provenance: Provenance, options: Options, path: Path, quantised: bool
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], Provenance]:
    times = rows.at_ns
    origin = int(times[0])
    if origin < 0 or "wall" in provenance.transforms[0].parameters["clock"]:
        times, provenance = times - origin, provenance.then("origin", at_ns=origin)
    grid = grid_ns(times) if quantised else 0
    if grid:
        times = spread(times, grid, options.seed, stem(path))
        provenance = provenance.then(RULE, grid_ns=grid, seed=options.seed)
    return times, provenance


def _workload(rows: Rows, times: Any, form: Format, provenance: Provenance, path: Path) -> Workload:
    names = pa.array([function.id for function in rows.functions], type=pa.string())
    empty = (rows.prompt_tokens < 1) | (rows.output_tokens < 1)
    if empty.any():
        # A server needs at least one token; the provenance counts the source's zeros.
        provenance = provenance.then("at-least-one-token", rows=int(empty.sum()))
    required = {
        "id": np.arange(len(rows)),
        "arrival_ns": times,
        "function": pa.DictionaryArray.from_arrays(pa.array(rows.owners), names).cast(pa.string()),
        "prompt_tokens": np.maximum(rows.prompt_tokens, 1),
        "output_tokens": np.maximum(rows.output_tokens, 1),
    }
    optional = {**rows.extra, "source_row": rows.lines}
    kept = [field for field in OPTIONAL if field.name in optional]
    table = pa.table({**required, **optional}, schema=pa.schema([*SCHEMA, *kept]))
    last = int(times[-1]) + form.resolution_ns
    return Workload(stem(path), rows.functions, table, provenance, last)
