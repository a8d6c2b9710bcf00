"""Reads untrusted files in bounded time and memory, whatever their content."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from systems.errors import SystemsError

MAX_JSON_BYTES = 8 << 20
"""For settings and headers; those of a model with 405 billion weights take less than 1 MiB."""


def open_regular(path: Path, error: type[SystemsError]) -> BinaryIO:
    """Open a file for reading. Raise ``error``, without blocking, if it is a pipe, a device or a
    directory; raise ``OSError`` if it cannot be opened."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise error(f"{path}: not a regular file")
    return os.fdopen(fd, "rb")


def read_json(path: Path, error: type[SystemsError]) -> Any:
    """Parse a JSON file. Raise ``error`` if it cannot be read or parsed, and
    ``FileNotFoundError``."""
    try:
        with open_regular(path, error) as file:
            raw = file.read(MAX_JSON_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror or problem}") from problem
    if len(raw) > MAX_JSON_BYTES:
        raise error(f"{path}: more than {MAX_JSON_BYTES} bytes of JSON")
    return parse_json(raw, f"{path}: cannot be read", error)


def parse_json(raw: bytes, what: str, error: type[SystemsError]) -> Any:
    """Parse UTF-8 JSON. Raise ``error`` if it is invalid; the message begins with ``what``."""
    try:
        return json.loads(raw.decode("utf-8"))
    except RecursionError:
        raise error(f"{what}: nested too deeply") from None
    except ValueError as problem:
        raise error(f"{what}: {problem}") from problem
