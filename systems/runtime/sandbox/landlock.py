"""Restricts a process to the given paths, each with the given rights.

Landlock (linux/landlock.h, Linux 5.13 and later) needs no privilege, applies to root as well, and
is inherited by later threads and forked processes. Open descriptors stay usable. It prevents
reading a path, but not checking whether it exists. No path gets the right to be executed.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from systems.errors import ConfinementError

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on every architecture
_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_FILE_RIGHTS = (13, 14, 15, 15, 16)
"""The number of file rights of each version; later versions use the last number."""
_NETWORK = 0b11
"""TCP: bind and connect; since version 4."""
_SCOPES = 0b11
"""Abstract Unix sockets and signals of processes outside the domain; since version 6."""

READ = _READ_FILE | _READ_DIR
WRITE = _READ_FILE | _WRITE_FILE
REWRITE = READ | _WRITE_FILE | _TRUNCATE
DEVICE = WRITE | _IOCTL_DEV
"""Of a device node: also its commands (ioctl)."""


def version() -> int:
    """Return the version of this kernel; 0 if Landlock is missing or disabled."""
    return max(0, _call(_CREATE, None, ctypes.c_size_t(0), _VERSION))


def see_only(rules: Mapping[Path, int]) -> None:
    """Restrict this process to the rights that ``rules`` give to paths and all below them. Missing
    paths are ignored. Requires a single thread, as others would be unrestricted."""
    if len(os.listdir("/proc/self/task")) > 1:
        raise ConfinementError("Landlock: the process already has more than one thread")
    handled = _handled()
    ruleset = _ruleset(handled)
    try:
        for path, rights in rules.items():
            _allow(ruleset, path, rights & handled)
        _check(_call(_RESTRICT, ruleset, 0))
    finally:
        os.close(ruleset)


def _handled() -> int:
    """Return all file rights that this kernel restricts."""
    known = version()
    if not known:
        raise ConfinementError("this kernel has no Landlock")
    return (1 << _FILE_RIGHTS[min(known, len(_FILE_RIGHTS)) - 1]) - 1


def _ruleset(handled: int) -> int:
    known = version()
    attributes = struct.pack(
        "=QQQ", handled, _NETWORK if known >= 4 else 0, _SCOPES if known >= 6 else 0
    )
    # A kernel rejects a structure longer than it knows, unless the rest is zero.
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return _check(_call(_CREATE, buffer, ctypes.c_size_t(len(attributes)), 0))


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if not path.is_dir():
            rights &= ~_READ_DIR
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, place), 12)
        _check(_call(_ADD, ruleset, _PATH_BENEATH, rule, 0))
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    return int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))


def _check(result: int) -> int:
    if result < 0:
        raise ConfinementError(f"Landlock: {os.strerror(ctypes.get_errno())}")
    return result
