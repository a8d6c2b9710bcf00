"""Run commands of a page as a reader types them, in this process."""

from __future__ import annotations

import contextlib
import glob
import io
import shlex
from pathlib import Path

from typer.testing import CliRunner

from harness.cli import build


def typed(command: str, status: int = 0) -> str:
    """Run ``slbench …`` or ``python FILE`` with the paths that the shell expands, and check the
    exit status; return the output."""
    program, *words = shlex.split(command)
    given = [path for word in words for path in (glob.glob(word) if "/*" in word else [word])]
    if program == "python":
        return _executed(Path(*given))
    done = CliRunner().invoke(build(given[:1]), given, catch_exceptions=False)
    assert done.exit_code == status, (command, done.output)
    return done.output


def _executed(file: Path) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(file.read_text(encoding="utf-8"), file, "exec"), {"__name__": "__main__"})
    return said.getvalue()
