"""What of the file system a process sees: what it is told, to read, and nothing to write.

Landlock (linux/landlock.h, Linux 5.13 and later) needs no privilege, holds for root too, and is
taken from then on by all threads that are started and all that is forked. Descriptors that are open
stay so. Looking whether a path is there is not held back, reading it is.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from systems.errors import ConfinementError

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on every machine
_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_FILE_RIGHTS = (13, 14, 15, 15, 16)
"""How many rights on files each version knows; later ones no more than the last."""
_NETWORK = 0b11
"""TCP: bind and connect; since version 4."""
_SCOPES = 0b11
"""Abstract Unix sockets and signals, of others; since version 6."""


def version() -> int:
    """Of this kernel; 0 where it has none or has it switched off."""
    return max(0, _call(_CREATE, None, ctypes.c_size_t(0), _VERSION))


def see_only(paths: Iterable[Path], writable: Iterable[Path] = ()) -> None:
    """Let this process read what is at and below ``paths`` and write the files ``writable``; where
    there is nothing, nothing is to be seen. It must run one thread: others would go free."""
    if len(os.listdir("/proc/self/task")) > 1:
        raise ConfinementError("Landlock: more than one thread runs already")
    rules = _ruleset()
    try:
        for path in paths:
            _allow(rules, path, _READ_FILE | _READ_DIR)
        for path in writable:
            _allow(rules, path, _READ_FILE | _WRITE_FILE)
        _check(_call(_RESTRICT, rules, 0))
    finally:
        os.close(rules)


def _ruleset() -> int:
    known = version()
    if not known:
        raise ConfinementError("this kernel has no Landlock")
    files = (1 << _FILE_RIGHTS[min(known, len(_FILE_RIGHTS)) - 1]) - 1
    attributes = struct.pack(
        "=QQQ", files, _NETWORK if known >= 4 else 0, _SCOPES if known >= 6 else 0
    )
    # A kernel takes no more of the structure than it knows, unless the rest is zero.
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return _check(_call(_CREATE, buffer, ctypes.c_size_t(len(attributes)), 0))


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if not path.is_dir():
            rights &= ~_READ_DIR
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, place), 12)
        _check(_call(_ADD, rules, _PATH_BENEATH, rule, 0))
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    return int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))


def _check(result: int) -> int:
    if result < 0:
        raise ConfinementError(f"Landlock: {os.strerror(ctypes.get_errno())}")
    return result
