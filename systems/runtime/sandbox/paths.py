"""The files that an instance can read: its libraries, its backbone and its adapter.

Links in a directory are followed within it and, in the layout of the Hugging Face cache, into the
``blobs`` of the same repository. Links to other places are not: otherwise anyone who can write an
adapter's directory could choose what its instance may read.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from systems.errors import DeploymentError

from . import landlock

PACKAGES = ("systems", "workloads")
"""Our packages, listed separately because other files may be beside them."""

_SYSTEM = (
    "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd",
    "/etc/nsswitch.conf", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
    "/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm", "/dev/random", "/dev/urandom",
)  # fmt: skip
_READ = frozenset({".json", ".safetensors"})
_DEVICES = ("/dev/null", "/dev/zero")


def narrow_to(own: Collection[Path], rules: Mapping[Path, int]) -> None:
    """Restrict file access irrevocably to reading libraries and ``own``, and to ``rules``
    (Landlock's). Raises :class:`ConfinementError`."""
    linked = [target for folder in own for _, target in _links(folder) if _is_own(folder, target)]
    seen = [*map(Path, _SYSTEM), *_libraries(), *own, *linked]
    read = dict.fromkeys((path.resolve() for path in seen), landlock.READ)
    written = dict.fromkeys(map(Path, _DEVICES), landlock.WRITE)
    landlock.see_only({**read, **written, **rules})


def check_links(folder: Path) -> None:
    """Raise ``DeploymentError`` if a file in ``folder`` that the engine reads is out of reach."""
    for link, target in _links(folder):
        if link.suffix in _READ and not _is_own(folder, target):
            raise DeploymentError(
                f"{link}: is a link to {target}, which instances cannot read; put the file there"
                " (links to files of the folder, or of the blobs of a Hugging Face cache, are fine)"
            )


def _links(folder: Path) -> Iterable[tuple[Path, Path]]:
    """Return the links in ``folder`` and their final targets."""
    entries = folder.iterdir() if folder.is_dir() else ()
    # ``Path.resolve`` raises on a link to itself.
    return [(each, Path(os.path.realpath(each))) for each in entries if each.is_symlink()]


def _is_own(folder: Path, target: Path) -> bool:
    home = folder.resolve()
    return target.is_file() and any(target.is_relative_to(place) for place in (home, *_blobs(home)))


def _blobs(home: Path) -> Iterable[Path]:
    """Return the target directory of links in ``models--NAME/snapshots/REVISION``."""
    for parent in home.parents:
        if parent.name == "snapshots" and parent.parent.name.startswith("models--"):
            yield parent.parent / "blobs"


def _libraries() -> Iterable[Path]:
    yield from (Path(prefix) for prefix in (sys.prefix, sys.base_prefix))
    yield from (Path(place) for place in sys.path if "packages" in place or "python3" in place)
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        yield from map(Path, spec.submodule_search_locations or () if spec else ())
