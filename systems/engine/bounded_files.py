"""Files that others wrote, read in bounded time and memory whatever they turn out to be."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from systems.errors import SystemsError

MAX_JSON_BYTES = 8 << 20
"""Of settings and of headers: those of a model of 405 billion weights take less than one MiB."""


def open_regular(path: Path, error: type[SystemsError]) -> BinaryIO:
    """Open a file to read. Raises ``error`` where it is a pipe, a device or a folder, none of which
    is waited for, and ``OSError`` where it cannot be opened."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise error(f"{path}: not a regular file")
    return os.fdopen(fd, "rb")


def read_json(path: Path, error: type[SystemsError]) -> Any:
    """What a JSON file says. Raises ``error`` where it says nothing that can be read, and
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
    """Decode JSON in UTF-8. Raises ``error``, which begins with ``what``."""
    try:
        return json.loads(raw.decode("utf-8"))
    except RecursionError:
        raise error(f"{what}: nested too deeply") from None
    except ValueError as problem:
        raise error(f"{what}: {problem}") from problem
