"""Files of a cell: tables with page checksums, and digests that detect changed files. Page
checksums protect cells without digests and tables that are rewritten."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from ..errors import RecordError

MANIFEST, STUDY = "manifest.json", "study.json"


def write_table(table: pa.Table, path: Path, **options: Any) -> None:
    """Write ``table`` with a checksum per page; ``options`` are passed to pyarrow."""
    pq.write_table(table, path, write_page_checksum=True, **{"compression": "zstd", **options})


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table, only the existing ones of ``columns`` (None: all). Raises ``RecordError`` if it
    cannot be read or a page does not match its checksum."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as stored:
            there = stored.schema_arrow.names
            wanted = None if columns is None else [each for each in columns if each in there]
            return stored.read(columns=wanted)
    except (OSError, ValueError, pa.ArrowException) as error:
        first_line = str(error).partition("\n")[0]
        raise RecordError(f"{path}: cannot be read ({first_line})") from error


def read_kept(path: Path) -> pa.Table:
    """Read a table that a study stored beside or instead of its cells, checked by the digest in its
    ``study.json``. Raises ``RecordError`` as :func:`read_table` does."""
    study = path.parent / STUDY
    if study.exists():
        check(path, _known(study))
    return read_table(path)


class _Sealed(TypedDict):
    files: NotRequired[Mapping[str, str] | None]


_SEALED: TypeAdapter[_Sealed] = TypeAdapter(_Sealed)


def _known(study: Path) -> Mapping[str, str] | None:
    """Return the digests in a ``study.json``."""
    try:
        return _SEALED.validate_json(study.read_bytes()).get("files")
    except (OSError, ValidationError) as error:
        raise RecordError(f"{study}: has no readable digests") from error


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder by name, except the files that hold digests."""
    holders = (MANIFEST, STUDY)
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name not in holders)
    return {path.name: _digest(path) for path in files}


def check(path: Path, known: Mapping[str, str] | None) -> None:
    """Raise ``RecordError`` if a file does not match its digest. Files without one pass: those of
    older cells, and those added to a cell later."""
    wanted = (known or {}).get(path.name)
    if wanted is None:
        return
    try:
        found = _digest(path)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror})") from error
    if found != wanted:
        raise RecordError(
            f"{path}: has changed since it was written (SHA-256 {found[:12]}…, the record says"
            f" {wanted[:12]}…); restore it from a copy, or run the cell again"
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
