"""Restricts a process to reading the given paths, and to writing none or the given files.

Landlock (linux/landlock.h, Linux 5.13 and later) needs no privilege, applies to root as well, and
is inherited by later threads and forked processes. Open descriptors stay usable. It prevents
reading a path, but not checking whether it exists.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from systems.errors import ConfinementError

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on every architecture
_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_FILE_RIGHTS = (13, 14, 15, 15, 16)
"""The number of file rights of each version; later versions use the last number."""
_NETWORK = 0b11
"""TCP: bind and connect; since version 4."""
_SCOPES = 0b11
"""Abstract Unix sockets and signals of processes outside the domain; since version 6."""


def version() -> int:
    """Return the version of this kernel; 0 if Landlock is missing or disabled."""
    return max(0, _call(_CREATE, None, ctypes.c_size_t(0), _VERSION))


def see_only(paths: Iterable[Path], writable: Iterable[Path] = ()) -> None:
    """Restrict reading to ``paths`` and all below them, and writing to the files ``writable``.
    Missing paths are ignored. Requires a single thread, as others would be unrestricted."""
    if len(os.listdir("/proc/self/task")) > 1:
        raise ConfinementError("Landlock: the process already has more than one thread")
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
    # A kernel rejects a structure longer than it knows, unless the rest is zero.
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
