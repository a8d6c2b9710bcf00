"""A parser that is not a fork of the template can import what it needs in its sandbox."""

from __future__ import annotations

import subprocess
import sys

_IMPORT = """
import pathlib, sys

exists = pathlib.Path.exists
pathlib.Path.exists = lambda path: str(path) == "/dev/nvidiactl" or exists(path)
started = []
sys.addaudithook(lambda event, _: started.append(event) if event in {PROGRAMS} else None)

from systems.serverless.live.adapters import parser

parser.import_what_it_needs()
print(*started)
"""
_PROGRAMS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"}


def test_a_parser_starts_no_program_on_a_machine_with_gpus() -> None:
    script = _IMPORT.replace("{PROGRAMS}", repr(_PROGRAMS))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.split()
