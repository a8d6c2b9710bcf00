"""The MPS daemon, here a stand-in: it starts before the first CUDA process, gets its folders from
the environment, and ends however the platform ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment
from systems.registry import system_class
from systems.serverless.live import mps

from .conftest import wait_until

SET_CHILD_SUBREAPER = 36  # linux/prctl.h
STANDS_IN = """#!/bin/sh
case "$1" in
-d) [ -d "$CUDA_MPS_PIPE_DIRECTORY" ] || exit 3
    sleep 600 & echo $! > "$CUDA_MPS_PIPE_DIRECTORY/pid" ;;
*)  read words; echo "$words" > "$CUDA_MPS_PIPE_DIRECTORY/words"
    kill $(cat "$CUDA_MPS_PIPE_DIRECTORY/pid") ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / mps.PROGRAM
    program.parent.mkdir()
    program.write_text(STANDS_IN, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path / "mps"


def daemon(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "pipe" / "pid").read_text(encoding="ascii")))


def test_it_is_there_while_inside_and_told_to_go_after(folder: Path) -> None:
    with mps.running(folder) as variables:
        assert variables["CUDA_MPS_PIPE_DIRECTORY"] == str(folder / "pipe")
        assert Path(variables["CUDA_MPS_LOG_DIRECTORY"]).is_dir()
        there = daemon(folder)
        assert there.is_running()
    wait_until(lambda: not there.is_running())
    assert (folder / "pipe" / "words").read_text(encoding="ascii") == "quit -t 5\n"


def test_its_guard_reaps_it_where_nothing_else_would(folder: Path) -> None:
    """If the machine's init process reaps no orphans, a dead daemon stayed a zombie forever."""
    libc = ctypes.CDLL(None)
    libc.prctl(SET_CHILD_SUBREAPER, 1)  # this process becomes the parent of orphans and reaps none
    try:
        with mps.running(folder):
            there = daemon(folder)
        assert not there.is_running()
    finally:
        libc.prctl(SET_CHILD_SUBREAPER, 0)


def test_it_goes_although_the_platform_is_killed(folder: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from systems.serverless.live import mps\n"
        "with mps.running(Path(sys.argv[1])): print('up', flush=True); time.sleep(600)"
    )
    platform = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert platform.stdout is not None
    assert platform.stdout.readline() == "up\n"
    there = daemon(folder)
    platform.send_signal(signal.SIGKILL)
    platform.communicate()
    wait_until(lambda: not there.is_running())


def test_one_that_does_not_start_is_an_error_with_its_words(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bin" / mps.PROGRAM).write_text(
        "#!/bin/sh\necho no such device >&2; exit 1\n", encoding="utf-8"
    )
    with pytest.raises(DeploymentError, match="did not start: no such device"), mps.running(folder):
        pass


def test_it_is_refused_in_a_line_where_it_cannot_be(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = deployment.model_copy(update={"options": {"mps": True}})
    with pytest.raises(DeploymentError, match="the devices are cpu"):
        system_class("serverless-lora")().check(asked)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DeploymentError, match="not on the path"):
        mps.check()
