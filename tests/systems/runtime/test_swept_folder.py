"""The folder of a run's servers goes with the run, however that ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from systems.runtime.swept_folder import SweptFolder

# Python notices a signal that comes just before a blocking read only after it, so the wait is in
# short pieces; and what a shell runs in the background ignores interrupts, as do its children.
_HOLDER = """
import select, signal, sys
from systems.runtime.swept_folder import SweptFolder
folder = SweptFolder("slbench-test-")
(folder.path / "server.log").write_text("said")
signal.signal(signal.SIGINT, signal.default_int_handler)
print(folder.path, flush=True)
while not select.select([sys.stdin], [], [], 0.05)[0]:
    pass
"""


def test_it_goes_when_it_is_told_to() -> None:
    folder = SweptFolder("slbench-test-")
    (folder.path / "server.log").write_text("said")
    folder.remove()
    assert not folder.path.exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_it_goes_with_who_made_it(how: int) -> None:
    command = [sys.executable, "-c", _HOLDER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stderr is not None
        path = Path(holder.stdout.readline().strip())
        assert (path / "server.log").exists()
        holder.send_signal(how)
        # The cleanup process has the same standard error: it ends when both processes have ended.
        holder.stderr.read()
    assert not path.exists()
