"""A cell: one system under one workload with one seed. Four tables, a manifest, a summary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from ..errors import RecordError
from .drafts import draft_of
from .files import MANIFEST, check, digests, read_table, write_table
from .manifest import Manifest
from .objectives import Floats, objectives
from .schema import TABLES, VERSION, conform
from .soundness import check_manifest, check_summary, check_table, first_problem
from .versions import SCHEMAS, names_of

if TYPE_CHECKING:
    import pandas as pd


SUMMARY = "summary.json"


@dataclass(frozen=True)
class Cell:
    """A cell on disk. Tables are read on access."""

    path: Path
    manifest: Manifest
    summary: Mapping[str, Any]

    @property
    def system(self) -> str:
        """The label of the system's choice in its experiment."""
        return self.manifest.label

    @property
    def workload(self) -> str:
        """The label of the workload's choice, with ``@`` and the point of a sweep."""
        return str(self.manifest.workload["name"])

    @property
    def workload_label(self) -> str:
        """The label of the workload's choice; in cells from before labels, the workload's name."""
        return str(self.manifest.workload.get("label", self.workload))

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read ``requests``, ``spans``, ``memory`` or ``billing`` and check it against the schema
        and for values that nothing can be computed with; only ``columns``, if given."""
        found = conform(self.stored(name, columns), name, self.path, columns)
        check_table(found, name, self.path)
        return found

    def stored(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Any table of the cell as it was written, columns by their current names.
        ``RecordError`` where the file changed since."""
        file = self.path / f"{name}.parquet"
        check(file, self.manifest.files)
        names = SCHEMAS[self.manifest.schema_version]
        return names.current_table(name, read_table(file, names.stored_columns(name, columns)))

    @cached_property
    def requests(self) -> pd.DataFrame:
        """The requests with the derived columns, which are never stored."""
        return derive(self.table("requests"))

    @property
    def answered(self) -> pd.DataFrame:
        """Those of ``requests`` that were answered in full. Latencies are of these: one of which
        the beginning came has times too, but failed."""
        return answered(self.requests)


def answered(requests: pd.DataFrame) -> pd.DataFrame:
    """Select the requests that were answered in full."""
    return requests[requests["status"] == "ok"]


def derive(requests: pa.Table) -> pd.DataFrame:
    """Derive latencies in seconds; NaN if a request did not get that far. ``slo_met`` is False for
    every failed request (measurement rule 8)."""
    frame: pd.DataFrame = requests.to_pandas()
    sent, due = frame["sent_ns"], frame["scheduled_ns"]
    first, last = frame["first_token_ns"], frame["last_token_ns"]
    frame["ttft_s"] = (first - sent) / 1e9
    frame["ttft_from_schedule_s"] = (first - due) / 1e9
    frame["e2e_s"] = (last - sent) / 1e9
    frame["lateness_s"] = (sent - due) / 1e9
    gaps = (frame["output_tokens"] - 1).where(frame["output_tokens"] > 1)
    frame["tpot_s"] = (last - first) / 1e9 / gaps
    ok = (frame["status"] == "ok").to_numpy(dtype=bool)
    frame["slo_met"] = objectives(lambda name: _number(frame, name), ok).all_met
    return frame


def _number(frame: pd.DataFrame, column: str) -> Floats:
    """Return a column [n], NaN for null and for a column that older records lack."""
    if column not in frame:
        return np.full(len(frame), np.nan)
    return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)


def write_cell(
    path: Path,
    manifest: Manifest,
    tables: Mapping[str, pa.Table],
    summary: Mapping[str, Any],
    extra: Mapping[str, pa.Table] | None = None,
    files: Mapping[str, str] | None = None,
) -> Cell:
    """Write a cell of the current schema whole or not at all: into a folder beside it, to the
    disk, then renamed.
    ``extra`` are tables beyond the contract, by name; ``files`` texts, by file name."""
    checked = {name: conform(tables[name], name, path) for name in TABLES}
    with draft_of(path) as draft:
        for name, table in {**(extra or {}), **checked}.items():
            write_table(table, draft / f"{name}.parquet")
        for name, text in (files or {}).items():
            (draft / name).write_text(text, encoding="utf-8")
        _write_json(draft / SUMMARY, summary)
        sealed = seal(draft, manifest.model_copy(update={"schema_version": VERSION}))
    return Cell(path, sealed, summary)


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest with the digests of the folder's files; return it."""
    sealed = manifest.model_copy(update={"files": digests(folder)})
    _write_json(folder / MANIFEST, sealed.model_dump(mode="json", by_alias=True))
    return sealed


def unseal(cell: Cell) -> None:
    """Write the manifest without digests, before files of the cell are rewritten."""
    bare = cell.manifest.model_copy(update={"files": None})
    _write_json(cell.path / MANIFEST, bare.model_dump(mode="json", by_alias=True))


def place_cell(path: Path, files: Mapping[str, bytes]) -> Cell:
    """Store a cell that another process wrote, completely or not at all."""
    with draft_of(path) as draft:
        for name, content in files.items():
            (draft / name).write_bytes(content)
        known = read_cell(draft).manifest.files
        for name in files:
            check(draft / name, known)
    return read_cell(path)


def read_cell(path: Path) -> Cell:
    """Read a cell. Raises ``RecordError`` if the folder is not a complete cell of a known schema,
    or if the summary has changed. Tables are checked when they are read."""
    try:
        document, stored = _read_object(path / MANIFEST), _read_object(path / SUMMARY)
        names = names_of(document.get("schema"))
        document, summary = names.current_manifest(document), names.current_summary(stored)
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        raise RecordError(f"{path}: manifest.json: {first_problem(error)}") from error
    except (OSError, ValueError) as error:
        first_line = str(error).splitlines()[0]
        raise RecordError(f"{path}: not a cell of this schema ({first_line})") from error
    check(path / SUMMARY, manifest.files)
    check_manifest(path, document)
    check_summary(path, summary)
    for name in TABLES:
        if not (path / f"{name}.parquet").exists():
            raise RecordError(f"{path}: {name}.parquet is missing")
    return Cell(path, manifest, summary)


def _read_object(file: Path) -> dict[str, Any]:
    found = json.loads(file.read_bytes())
    if not isinstance(found, dict):
        raise RecordError(f"{file.name} holds no JSON object")
    return found


def _write_json(path: Path, content: Any) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    draft.replace(path)
