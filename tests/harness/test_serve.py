"""``slbench serve``: tenants and isolation levels, as they are given and as it tells them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from harness.cli import build
from harness.commands.greeting import grouped
from harness.commands.serve import first_to_end
from harness.commands.served import functions, tenants
from harness.errors import HarnessError
from systems.errors import DeploymentError
from systems.models.skills import BACKBONE, skills


@pytest.mark.parametrize("level", [["--isolation", "tenant"], ["--set", "isolation=tenant"]])
def test_a_system_without_levels_refuses_one_before_models_are_made(level: list[str]) -> None:
    command = ["serve", "multi-lora", "--backbone", "/nowhere", *level]
    with pytest.raises(DeploymentError, match="isolation tenant: system multi-lora") as refused:
        CliRunner().invoke(build(["serve"]), command, catch_exceptions=False)
    assert "\n" not in str(refused.value)


def test_tenants_are_given_by_function() -> None:
    assert tenants(["f0=acme", "f1=acme"]) == {"f0": "acme", "f1": "acme"}
    assert tenants(()) is None
    for wrong in ("f0", "f0=", "=acme"):
        with pytest.raises(HarnessError, match="such as people=acme"):
            tenants([wrong])


def test_the_start_up_output_says_which_functions_share_instances() -> None:
    alone = {f"f{index}": (f"f{index}",) for index in range(3)}
    assert "no two functions share an instance" in grouped("function", alone)
    some = {"acme@tiny": ("f0", "f1"), "f2": ("f2",)}
    assert grouped("tenant", some) == (
        "isolation level tenant: instances are shared within acme@tiny (2 functions);"
        " functions that share with no other: 1"
    )
    many = {f"t{index}@tiny": ("f", "g") for index in range(1000)}
    assert "t3@tiny (2 functions) and 996 more" in grouped("tenant", many)


def test_functions_are_the_named_adapters_the_skills_or_as_many_as_asked_for() -> None:
    default = {"backbone": BACKBONE}
    assert functions([Path("/a/mine")], None, default) == ([Path("/a/mine")], ["mine"])
    assert functions([], None, default) == ("skills", list(skills()))
    assert functions([], 2, default) == ([], ["f0", "f1"])
    for other in ({"backbone": "tiny"}, {**default, "backbones": [BACKBONE, "tiny"]}):
        assert functions([], None, other) == ([], [f"f{index}" for index in range(8)])


def test_the_first_process_to_end_is_told() -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE) as stays,
        subprocess.Popen(command, stdin=subprocess.PIPE) as ends,
    ):
        ends.kill()
        assert first_to_end([stays.pid, ends.pid]) == ends.pid
        ends.wait()
        assert first_to_end([stays.pid, ends.pid]) == ends.pid


INTERRUPTED = """
import os, signal, sys, threading
from harness.commands.serve import first_to_end

def interrupt():
    # Taken by this thread, it does not wake the other: as one that comes just before a wait.
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(0.3, interrupt).start()
first_to_end([os.getpid()] if sys.argv[1] == "process" else [])
"""


@pytest.mark.parametrize("waits", ["process", "nothing"])
def test_an_interrupt_ends_the_wait_even_if_no_call_is_there_to_be_woken(waits: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, waits]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert "KeyboardInterrupt" in ended.stderr


@pytest.mark.live
def test_a_system_that_ends_by_itself_ends_the_command_with_status_1() -> None:
    serve = ("serve", "multi-lora", "--backbone", "tiny", "--port", "0")
    command = [sys.executable, "-m", "harness", *serve]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as served:
        try:
            server = _server_of(served)
            server.kill()
            assert served.stderr is not None
            told = served.stderr.read()
            assert served.wait() == 1, told
        finally:
            served.terminate()
    assert f"problem: process {server.pid} of multi-lora ended" in told


def _server_of(served: subprocess.Popen[str]) -> psutil.Process:
    """Wait until the command answers, and return the process that does."""
    assert served.stderr is not None
    while "Ctrl-C stops it" not in served.stderr.readline():
        assert served.poll() is None
    (server,) = (
        each
        for each in psutil.Process(served.pid).children()
        if "systems.serverful.inhouse.server" in each.cmdline()
    )
    return server
