"""ServeGen's client pools (Xiang et al., "ServeGen: Workload Characterization and Generation of
Large Language Model Serving in Production", 2025): clients of Alibaba Cloud Model Studio, each with
a rate, a CV and a kind of gaps for every window of ten minutes.

An archive has one file per client, ``…/chunk-<client>-trace.csv``, without a header: window start
in s, requests per s, CV of the gaps, Gamma or Weibull, shape, scale. A pool is a folder of it;
``part`` selects one of several. Lengths are read from ``chunk-<client>-dataset.json`` in the same
archive, or in the pool's own next to it. Clients without lengths are left out and counted in the
provenance, unless ``Options.lengths`` names a source. The published pools contain up to 2·10⁹
requests, so a stretch must be selected.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from ..errors import WorkloadError
from ..generators import process
from ..lengths import COLUMNS
from ..streams import stream
from ..trace import Counts, TraceFunction, Workload, from_arrivals, whole_ns
from .assemble import start
from .azure_functions_2019 import MOST_REQUESTS
from .bad_rows import BadRows, quoted
from .base import Format, Options
from .files import HEAD_BYTES, stem
from .missing_lengths import filled, without_unknown
from .servegen_archive import is_archive, members
from .servegen_lengths import ClientLengths, read_lengths

WINDOW_S = 600.0
_LATEST_S = 1e8
_TRACE = re.compile(r"(?:data/)?(?P<pool>.*?)/?chunk-(?P<client>[0-9]{1,6})-trace\.csv")
_KINDS = {"Gamma": "gamma", "Weibull": "weibull"}

FORMAT = Format(
    name="servegen",
    source="ServeGen client pools, github.com/alibaba/ServeGen",
    licence="Apache-2.0",
    attribution="Alibaba Cloud; Xiang et al., 2025",
    clock="seconds from the first window, times within a window drawn",
    resolution_ns=1,
)


@dataclass(frozen=True, slots=True)
class Window:
    """Ten minutes of a client; ``kind`` is empty if it sent nothing."""

    start_s: float
    rate_rps: float
    cv: float
    kind: str


def sniff(_path: Path, head: bytes) -> bool:
    if is_archive(head):
        return b"chunk-" in head[:HEAD_BYTES] and b"-trace.csv" in head[:HEAD_BYTES]
    fields = head.split(b"\n", 1)[0].split(b",")
    return len(fields) == 6 and fields[3] in (b"", b"Gamma", b"Weibull")


def read(path: Path, options: Options) -> Workload:
    bad = BadRows(path)
    clients = dict(_clients(path, options.part, bad))
    skipped = bad.settle(skip=options.skip_bad)
    if not clients:
        raise WorkloadError(f"{path}: has no readable {FORMAT.name} client")
    begin, length = options.start_s, options.duration_s or _span(clients) - options.start_s
    windows = {c: _cut(found, begin, begin + length) for c, found in clients.items()}
    _check(path, windows)
    arrivals = {c: _arrivals(c, found, begin, length, options.seed) for c, found in windows.items()}
    functions = [TraceFunction(id=client) for client in windows if len(arrivals[client])]
    provenance = start(FORMAT, path, "expanded").then(
        "import",
        format=FORMAT.name,
        clock=FORMAT.clock,
        part=options.part,
        start_s=begin,
        duration_s=length,
        seed=options.seed,
        clients=len(clients),
        **skipped,
    )
    if not functions:
        raise WorkloadError(f"{path}: no client sends anything in that stretch")
    workload = from_arrivals(stem(path), functions, arrivals, provenance, round(length * 1e9))
    return _with_lengths(workload, read_lengths(path, options.part), begin, options)


def _clients(path: Path, part: str, bad: BadRows) -> Iterator[tuple[str, list[Window]]]:
    pools: set[str] = set()
    lines = 0
    for name, data in members(path, _TRACE):
        found = _TRACE.fullmatch(name)
        pool = found["pool"] if found else ""
        pools.add(pool)
        if pool == part or (not part and len(pools) == 1):
            client = f"client-{found['client']}" if found else stem(Path(name))
            yield client, list(_windows(data, bad, name, lines))
            lines += data.count(b"\n")
    if part and part not in pools:
        raise WorkloadError(f"{path}: has no part {part!r}; parts: {', '.join(sorted(pools))}")
    if len(pools) > 1 and not part:
        raise WorkloadError(f"{path}: name one of its parts: {', '.join(sorted(pools))}")


def _windows(data: bytes, bad: BadRows, name: str, before: int) -> Iterator[Window]:
    """Line numbers continue after ``before``, the lines of the members read so far."""
    free_s = 0.0
    try:
        rows = csv.reader(io.StringIO(data.decode()))
        for row in rows:
            try:
                window = _window(row, free_s)
            except ValueError as error:
                bad.add(before + rows.line_num, f"{quoted(name)}: {error}")
            else:
                free_s = window.start_s + WINDOW_S
                yield window
    except (csv.Error, UnicodeDecodeError) as error:
        raise WorkloadError(f"{bad.path}: {quoted(name)} is not a CSV") from error


def _window(row: list[str], free_s: float) -> Window:
    """Parse a window, which begins at ``free_s`` or later: arrivals are in the windows' order."""
    if len(row) != 6:
        raise ValueError(f"{len(row)} columns, not 6")
    try:
        start_s, rate, cv = (float(text) for text in row[:3])
    except ValueError:
        raise ValueError(f"{quoted(','.join(row[:3]))} are not numbers") from None
    if not np.isfinite([start_s, rate, cv]).all() or not 0 <= start_s < _LATEST_S or rate < 0:
        raise ValueError(f"{quoted(','.join(row[:3]))} cannot be a time, a rate and a CV")
    if start_s < free_s:
        raise ValueError(f"{quoted(row[0])} is before the end of an earlier window, {free_s:g} s")
    if rate == 0 or not row[3]:
        return Window(start_s, 0.0, 0.0, "")
    if row[3] not in _KINDS:
        raise ValueError(f"gaps {quoted(row[3])} are neither Gamma nor Weibull")
    try:
        process({"kind": _KINDS[row[3]], "rate_rps": rate, "cv": cv})
    except ValidationError:
        raise ValueError(f"no {row[3]} gaps have a CV of {quoted(row[2])}") from None
    return Window(start_s, rate, cv, _KINDS[row[3]])


def _span(clients: dict[str, list[Window]]) -> float:
    return max((w.start_s for found in clients.values() for w in found), default=0.0) + WINDOW_S


def _cut(found: list[Window], begin: float, end: float) -> list[Window]:
    return [w for w in found if w.start_s < end and w.start_s + WINDOW_S > begin and w.kind]


def _check(path: Path, windows: dict[str, list[Window]]) -> None:
    expected = sum(w.rate_rps * WINDOW_S for found in windows.values() for w in found)
    if expected > MOST_REQUESTS:
        raise WorkloadError(
            f"{path}: about {expected:.3g} requests, at most {MOST_REQUESTS} fit; ask for a"
            f" stretch of it (--from, --for)"
        )


def _arrivals(client: str, found: list[Window], begin: float, length: float, seed: int) -> Counts:
    """Each window's gaps have their own random stream, independent of the selected stretch."""
    times = [np.empty(0)]
    for window in found:
        gaps = process({"kind": window.kind, "rate_rps": window.rate_rps, "cv": window.cv})
        draws = stream(seed, client, "window", str(window.start_s))
        times.append(window.start_s + gaps.arrivals(draws, WINDOW_S))
    played = np.concatenate(times) - begin
    return whole_ns(played[(played >= 0) & (played < length)])


def _with_lengths(
    workload: Workload, known: dict[str, ClientLengths], begin: float, options: Options
) -> Workload:
    """Give clients without lengths those of ``options``, or drop them if others have lengths."""
    told = {each.id for each in workload.functions} & known.keys()
    if len(told) < len(workload.functions):
        drops = bool(told) and options.lengths is None
        workload = without_unknown(workload, told) if drops else filled(workload, options)
    if not told:
        return workload
    drawn = {name: workload.requests[name].to_numpy().copy() for name in COLUMNS}
    at_s = begin + workload.arrivals_s()
    for client, rows in workload.rows().items():
        if client in told:
            pairs = known[client].draw(stream(options.seed, client, "lengths"), at_s[rows])
            for name, values in zip(COLUMNS, pairs, strict=True):
                drawn[name][rows] = values
    provenance = workload.provenance.then("servegen-lengths", seed=options.seed, clients=len(known))
    return workload.with_columns(provenance, **drawn)
