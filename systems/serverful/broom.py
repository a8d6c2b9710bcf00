"""Files that go with a run, even one that is killed and can remove nothing itself."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

# It waits for a line on its standard input, which the run holds; an end without one means that the
# run is gone.
_SWEEP = 'read -r _ || rm -rf -- "$1"'


class SweptFolder:
    """A temporary folder that is removed by ``remove``, or once this process has ended."""

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
