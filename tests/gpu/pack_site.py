"""Packs what this suite needs and a machine that reaches no registry lacks (Python 3.12):

    python -m tests.gpu.pack_site OUT.tar.xz --there NAMES

NAMES: a file with the names of the distributions that are there, divided by commas or spaces.
Versions are those of this environment. plotly is left out: only reports need it. There: unpack it,
compile its bytecode, and put ``site`` and the repository on ``PYTHONPATH``. ``SLBENCH_COMMIT``
names the commit of a copy that has no history.
"""

from __future__ import annotations

import argparse
import re
import tarfile
import tempfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .wheels import download

SUITE = "serverless-lora-bench"
_NOT_NEEDED = {"plotly"}
_THERE = {"extra": "", "python_version": "3.12", "python_full_version": "3.12.3"}


def missing(there: set[str]) -> dict[str, str]:
    """Return the versions of the distributions that the suite needs and ``there`` lacks."""
    found: dict[str, str] = {}
    pending = _needed(SUITE)
    while pending:
        name = pending.pop()
        if name not in found and name not in there:
            found[name] = distribution(name).version
            pending += _needed(name)
    return found


def _needed(name: str) -> list[str]:
    requirements = map(Requirement, distribution(name).requires or ())
    return [
        canonicalize_name(each.name)
        for each in requirements
        if each.marker is None or each.marker.evaluate(_THERE)
    ]


def pack(out: Path, there: set[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        wheels, site = Path(scratch, "wheels"), Path(scratch, "site")
        wheels.mkdir()
        download((f"{name}=={version}" for name, version in missing(there).items()), wheels)
        for wheel in sorted(wheels.iterdir()):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site)
        with tarfile.open(out, "w:xz", preset=9) as archive:
            archive.add(site, "site")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.pack_site", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--there", type=Path, required=True)
    given = parser.parse_args()
    names = re.split(r"[\s,]+", given.there.read_text(encoding="utf-8"))
    pack(given.out, {canonicalize_name(name) for name in names if name} | _NOT_NEEDED)
    print(given.out, f"{given.out.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
