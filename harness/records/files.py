"""Files of a cell: tables whose pages carry checksums, and digests that tell whether a file is as
it was written. Page checksums find what a digest finds too where a cell has no digests, and where a
table is written again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import RecordError

MANIFEST, STUDY = "manifest.json", "study.json"


def write_table(table: pa.Table, path: Path, **options: Any) -> None:
    """Write ``table`` with a checksum for each page; ``options`` are those of pyarrow."""
    pq.write_table(table, path, write_page_checksum=True, **{"compression": "zstd", **options})


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table; of ``columns`` those that are there, None: all. ``RecordError`` where it cannot
    be read, or a page is not what its checksum says."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as stored:
            there = stored.schema_arrow.names
            wanted = None if columns is None else [each for each in columns if each in there]
            return stored.read(columns=wanted)
    except (OSError, ValueError, pa.ArrowException) as error:
        first_line = str(error).partition("\n")[0]
        raise RecordError(f"{path}: cannot be read ({first_line})") from error


def read_kept(path: Path) -> pa.Table:
    """Read a table that a study left beside its cells or in their place, checked by the digest in
    its ``study.json``. ``RecordError`` as :func:`read_table`."""
    study = path.parent / STUDY
    if study.exists():
        check(path, json.loads(study.read_bytes()).get("files"))
    return read_table(path)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder but those that hold them, by name."""
    holders = (MANIFEST, STUDY)
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name not in holders)
    return {path.name: _digest(path) for path in files}


def check(path: Path, known: Mapping[str, str] | None) -> None:
    """``RecordError`` where a file is not what the digest of its name says. Cells from before there
    were digests have none, nor has a file that was laid beside the cell later."""
    wanted = (known or {}).get(path.name)
    if wanted is None:
        return
    try:
        found = _digest(path)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror})") from error
    if found != wanted:
        raise RecordError(
            f"{path}: is not what was written (SHA-256 {found[:12]}…, the record says"
            f" {wanted[:12]}…); restore it from a copy, or run the cell again"
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
