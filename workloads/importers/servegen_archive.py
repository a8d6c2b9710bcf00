"""Reads the members of a ServeGen archive, or a single file as if it were one."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import WorkloadError
from .files import opened

MOST_BYTES = 1 << 26
"""Maximum size of a member: the published ones are below 5 MB."""


def is_archive(head: bytes) -> bool:
    """Whether these first bytes, decompressed, are those of a tar archive."""
    return head[257:262] == b"ustar"


def members(path: Path, wanted: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each member whose whole name matches; of the file itself if it is no
    archive. Writes nothing to disk. Raises ``WorkloadError`` if it cannot be read."""
    with opened(path) as file:
        start = file.read(512)
    with opened(path) as file:
        if not is_archive(start):
            yield path.name, file.read(MOST_BYTES)
            return
        try:
            with tarfile.open(fileobj=file, mode="r|") as archive:
                for member in archive:
                    if member.isfile() and wanted.fullmatch(member.name):
                        yield member.name, _content(path, archive, member)
        except (tarfile.TarError, ValueError) as error:
            raise WorkloadError(f"{path}: cannot be read ({error})") from error


def _content(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > MOST_BYTES:
        raise WorkloadError(f"{path}: {member.name} has {member.size} bytes, at most {MOST_BYTES}")
    found = archive.extractfile(member)
    return found.read() if found else b""
