"""A gateway that still waits for what its deployment asked for says for what, and can be told to
end. Its template is a process that says nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from systems.interface import Deployment
from systems.serverless.live.start_messages import GatewayConfig, Preparing
from systems.serverless_lora import ServerlessLoRA

pytestmark = pytest.mark.live

PATIENCE_S = 30
PROGRAM = """
import sys
from systems.serverless.live import gateway, platform

sys.executable = sys.argv.pop(1)
platform._TELL_S = 0.05
sys.exit(gateway.main())
"""
Gateway = subprocess.Popen[str]


@pytest.fixture
def waiting(deployment: Deployment, tmp_path: Path) -> Iterator[Gateway]:
    """Start a gateway whose template never answers; its configuration is in ``tmp_path/own``."""
    silent, own = tmp_path / "silent", tmp_path / "own"
    silent.write_text("#!/bin/sh\nexec sleep 600\n", encoding="ascii")
    silent.chmod(0o755)
    own.mkdir()
    asked = deployment.model_copy(update={"options": {"backbones_at_deployment": True}})
    system = ServerlessLoRA()
    system.configure(asked)
    content = asked.model_dump(mode="json")
    config = GatewayConfig(dict(system._policies), content, str(own / "journal"))
    (own / "config").write_bytes(msgspec.json.encode(config))
    command = [sys.executable, "-c", PROGRAM, str(silent), str(own / "config")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as gateway:
        yield gateway
        gateway.kill()


def _terminate(gateway: Gateway) -> None:
    gateway.send_signal(signal.SIGTERM)


def _end_as_its_starter(gateway: Gateway) -> None:
    assert gateway.stdin is not None
    gateway.stdin.close()


@pytest.mark.parametrize("end", [_terminate, _end_as_its_starter])
def test_it_says_what_it_waits_for_until_it_is_told_to_end(
    waiting: Gateway, tmp_path: Path, end: Callable[[Gateway], None]
) -> None:
    assert waiting.stdout is not None
    for _ in range(3):
        said = msgspec.json.decode(waiting.stdout.readline(), type=Preparing)
        assert said.what == "the template, backbone tiny on cpu:0"
    family = psutil.Process(waiting.pid).children(recursive=True)
    assert family, "the template"
    end(waiting)
    rest = waiting.stdout.read().splitlines()
    assert waiting.wait(PATIENCE_S) == 0
    assert {type(msgspec.json.decode(line, type=Preparing)) for line in rest} <= {Preparing}
    assert psutil.wait_procs(family, timeout=0.1)[1] == []
    assert (tmp_path / "own").exists() == (end is _terminate), "its starter removes its files"
