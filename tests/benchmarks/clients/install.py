"""Installs a peer of the client into the virtual environment whose Python runs this script:
``python install.py NAME``.

inference-perf's metadata requires Python 3.12, but 0.7.0 runs on 3.11. There pip is told to ignore
that for the package alone, and then installs what it requires as usual.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import requires

TORCH = "torch==2.13.0"
"""A plain build: by itself, guidellm takes the newest one for CUDA."""
PINNED = {"aiperf": ("aiperf==0.13.0",), "guidellm": (TORCH, "guidellm==0.8.1")}
ALONE = {"inference-perf": "inference-perf==0.7.0"}


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*command, *arguments], check=True)


def main() -> None:
    (name,) = sys.argv[1:]
    if sys.prefix == sys.base_prefix:
        sys.exit("install: run it by the Python of a virtual environment, see make bench-client")
    if name not in ALONE:
        pip(*PINNED[name])
        return
    pip("--no-deps", "--ignore-requires-python", ALONE[name])
    pip(*(each for each in requires(name) or () if "extra ==" not in each))


if __name__ == "__main__":
    main()
