"""Opens files that may be compressed, as detected from their bytes, not the suffix."""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import json
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..errors import WorkloadError

HEAD_BYTES = 1 << 16
_GZIP, _XZ = b"\x1f\x8b", b"\xfd7zXZ\x00"
_SUFFIXES = (".gz", ".xz", ".tar", ".csv", ".jsonl", ".json", ".txt")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Yield the file, decompressed. Any error of the file or its compression, on open or read,
    becomes a ``WorkloadError``."""
    try:
        with path.open("rb") as raw, _decompressed(raw) as file:
            yield file
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise WorkloadError(f"{path}: cannot be read ({error})") from error


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    start = raw.read(len(_XZ))
    raw.seek(0)
    if start.startswith(_GZIP):
        return gzip.open(raw)  # type: ignore[return-value]
    if start == _XZ:
        return lzma.open(raw)
    return raw


class Utf8Checked(io.RawIOBase):
    """Passes bytes through; raises ``UnicodeDecodeError`` if they are not UTF-8."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._decoder = file, codecs.getincrementaldecoder("utf-8")()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._decoder.decode(data, final=not data)
        return data


def head(path: Path) -> bytes:
    """Return the first bytes, enough to detect the format."""
    with opened(path) as file:
        return file.read(HEAD_BYTES)


def checksum(path: Path) -> str:
    """SHA-256 of the file as stored on disk."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stem(path: Path) -> str:
    """Return the file's name without storage suffixes: ``a.csv.gz`` is ``a``."""
    while path.suffix.lower() in _SUFFIXES:
        path = path.with_suffix("")
    return path.name


def csv_header(start: bytes, delimiter: str = ",") -> list[str]:
    """Column names of the first line; empty if it is not text."""
    try:
        text = start.splitlines()[0].decode("utf-8-sig")
        return next(csv.reader(io.StringIO(text), delimiter=delimiter), [])
    except (IndexError, UnicodeDecodeError, csv.Error):
        return []


def first_object(start: bytes) -> dict[str, Any]:
    """The JSON object on the first line; empty if there is none."""
    try:
        found = json.loads(start.split(b"\n", 1)[0].decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
