"""What of the file system an instance on the CPU sees: the libraries it runs on, its backbone, its
own adapter."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from . import landlock

PACKAGES = ("systems", "workloads")
"""Of ours, by themselves: beside them may lie anything."""

_SYSTEM = (
    "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd",
    "/etc/nsswitch.conf", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
    "/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm", "/dev/random", "/dev/urandom",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero")


def narrow_to(own: Iterable[Path]) -> None:
    """See no more than libraries and ``own``, for good. Raises :class:`ConfinementError`."""
    seen = [*map(Path, _SYSTEM), *_libraries(), *own]
    landlock.see_only(dict.fromkeys(path.resolve() for path in seen), map(Path, _DEVICES))


def _libraries() -> Iterable[Path]:
    yield from (Path(prefix) for prefix in (sys.prefix, sys.base_prefix))
    yield from (Path(place) for place in sys.path if "packages" in place or "python3" in place)
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        yield from map(Path, spec.submodule_search_locations or () if spec else ())
