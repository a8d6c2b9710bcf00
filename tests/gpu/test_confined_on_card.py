"""CUDA and the kernel compiler work inside the sandbox of an instance."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import socket, subprocess, sys
from systems.runtime.sandbox import confine
confine.confine("cuda")
try:
    socket.socket(socket.AF_INET)
except PermissionError:
    pass
else:
    sys.exit("an internet socket was made")
subprocess.run([sys.executable, "-c", ""], check=True)
import torch
ones = torch.ones(64, 64, dtype=torch.float16, device="cuda")
assert float(torch.mm(ones, ones).float().sum()) == 64**3
"""


def test_a_confined_process_computes_and_makes_no_internet_socket() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
