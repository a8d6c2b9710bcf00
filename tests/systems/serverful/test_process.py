"""A server that does not answer: what is said of it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from systems.errors import DeploymentError
from systems.serverful.process import ServerProcess

LISTEN = """
import socket, sys, time
heard = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
time.sleep(60)
"""


def test_one_that_listens_on_another_port_is_told_with_it(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    server = ServerProcess("mine", [sys.executable, "-c", LISTEN, str(port)], {}, log)
    try:
        server.wait_until(lambda: "ready" in log.read_text(), 20)
        said = rf"did not answer within 0.1 s \(start_timeout_s\); it listens on port {port}: ready"
        with pytest.raises(DeploymentError, match=said):
            server.wait_until(lambda: False, 0.1)
    finally:
        server.stop()


def test_one_that_listens_on_none_is_told_with_its_last_words(tmp_path: Path) -> None:
    log, command = tmp_path / "log", ["/bin/sh", "-c", "echo loading; sleep 60"]
    server = ServerProcess("mine", command, {}, log)
    try:
        server.wait_until(lambda: bool(log.read_text()), 20)
        with pytest.raises(DeploymentError, match=r"\(start_timeout_s\): loading"):
            server.wait_until(lambda: False, 0.1)
    finally:
        server.stop()
