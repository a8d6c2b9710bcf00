"""Wheels for a machine that reaches no registry: Python 3.12 on x86-64."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

_PLATFORMS = ("2_35", "2_34", "2_31", "2_28", "2_27", "2_26", "2_24", "2_17")


def download(pinned: Iterable[str], into: Path) -> None:
    """Download wheels of ``pinned`` distributions (``name==version``), without what they need."""
    tags = [f"manylinux_{each}_x86_64" for each in _PLATFORMS]
    tags += ["manylinux2014_x86_64", "manylinux1_x86_64"]
    platforms = [word for tag in tags for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", "3.12", "--implementation", "cp", *platforms, "-d", str(into)]
    subprocess.run([*command, *pinned], check=True)
