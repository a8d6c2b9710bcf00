"""A temporary directory that is removed even if the run is killed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The child process waits for a line on its standard input, whose write end the run holds. End of
# file without a line means that the run has ended.
_SWEEP = 'read -r _ || rm -rf -- "$1"'


class SweptFolder:
    """A temporary directory, removed by ``remove`` or when this process ends."""

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._broom = subprocess.Popen(
            ["sh", "-c", _SWEEP, "sh", str(self.path)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # the terminal's interrupt is for the run alone
        )

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._broom.communicate(b"\n")


@contextmanager
def swept(prefix: str) -> Iterator[Path]:
    """Provide a folder that is removed at the end, also if this process is killed before."""
    folder = SweptFolder(prefix)
    try:
        yield folder.path
    finally:
        folder.remove()
