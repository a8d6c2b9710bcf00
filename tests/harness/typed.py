"""Run commands of a page as a reader types them, in this process: to import what a command needs
takes longer than most commands."""

from __future__ import annotations

import contextlib
import glob
import io
import runpy
import shlex
import sys
from pathlib import Path
from unittest import mock

from typer.testing import CliRunner

from harness.cli import build


def typed(command: str, status: int = 0) -> str:
    """Run ``slbench …``, ``python FILE`` or ``python -m MODULE …`` with the paths that the shell
    expands, and check the exit status of ``slbench``; return the output."""
    program, *words = shlex.split(command)
    given = [path for word in words for path in (glob.glob(word) if "/*" in word else [word])]
    if program == "python":
        return _of_module(given[1:]) if given[0] == "-m" else _of_file(Path(*given))
    done = CliRunner().invoke(build(given[:1]), given, catch_exceptions=False)
    assert done.exit_code == status, (command, done.output)
    return done.output


def _of_module(words: list[str]) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), mock.patch.object(sys, "argv", words):
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    return said.getvalue()


def _of_file(file: Path) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(file.read_text(encoding="utf-8"), file, "exec"), {"__name__": "__main__"})
    return said.getvalue()
