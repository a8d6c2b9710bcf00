"""A serverless system's gateway process, and the nodes of its cluster: started, read, stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import psutil

from systems.access import AccessTokens, headers
from systems.interface import Deployment, Endpoint, SystemTrace
from systems.runtime import journal
from systems.runtime.links import secret
from systems.runtime.links.address import ClusterAddress

from . import kernel_cache
from .cluster.launch import Nodes
from .start_messages import Compiling, GatewayConfig, Listening, Preparing, StartFailed, read

_START_S = 120.0
"""Timeout for the gateway's next line. One shape of kernels takes seconds to compile; a deployment
with many adapter ranks has hundreds. While it waits for processes, which it watches itself, the
gateway prints a line every few seconds, however long they take."""
_STOP_S = 10.0
_SAID = Compiling | Preparing | Listening | StartFailed


class LiveDeployment:
    """One deployment of the system ``name`` with ``policies`` (by seam). Use once: start, trace,
    stop."""

    def __init__(self, name: str, policies: Mapping[str, str]) -> None:
        self._name, self._policies = name, dict(policies)
        self._directory = Path(tempfile.mkdtemp(prefix=f"slbench-{name}-"))
        self._gateway: subprocess.Popen[str] | None = None
        self._nodes: Nodes | None = None
        self._trace: SystemTrace | None = None

    def start(self, deployment: Deployment) -> Endpoint:
        """Return once the endpoint answers. Raises :class:`SystemsError`; nothing is left then."""
        config = self._directory / "config.json"
        key, environment = secret.make(), dict(os.environ)
        nodes_host = None
        if deployment.cluster is not None:
            nodes_host = ClusterAddress.parse(deployment.cluster).our_address()
            environment[secret.VARIABLE] = key
        content = GatewayConfig(
            self._policies, deployment.model_dump(mode="json"), str(self._journal), nodes_host
        )
        config.write_bytes(msgspec.json.encode(content))
        command = [sys.executable, "-m", "systems.serverless.live.gateway", str(config)]
        self._gateway = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        answer = self._await_answer()
        if nodes_host and answer.nodes_port:
            self._gather(deployment, nodes_host, answer.nodes_port, key)
        names = (*(f.id for f in deployment.functions), *deployment.backbones)
        url = f"http://{deployment.host}:{answer.port}"
        operator = headers(AccessTokens.of_environment())
        return Endpoint(url, names, (self._gateway.pid,), headers=operator)

    def _gather(self, deployment: Deployment, gateway: str, port: int, key: str) -> None:
        """Start agents on the cluster's machines and wait until all of them are in use."""
        self._nodes = Nodes(deployment, gateway, port, key)
        try:
            self._nodes.await_ready()
        except BaseException:
            self.stop()
            raise

    @property
    def _journal(self) -> Path:
        return self._directory / "journal.jsonl"

    def _await_answer(self) -> Listening:
        """Read lines until the one in which the gateway gives its port, or raise the error that it
        gives."""
        answer: Compiling | Preparing | Listening | StartFailed = Compiling()
        while isinstance(answer, Compiling | Preparing):
            waited = f" (it waited for {answer.what})" if isinstance(answer, Preparing) else ""
            ended = f"{self._name}: the gateway ended before it answered{waited}; its last output"
            answer = read(self._next_line(), _SAID, f"{ended} is on stderr")
        if isinstance(answer, Listening):
            return answer
        self.stop()
        raise answer.exception()

    def _next_line(self) -> str:
        assert self._gateway is not None
        assert self._gateway.stdout is not None
        timer = threading.Timer(_START_S, self._gateway.kill)
        timer.start()
        try:
            return self._gateway.stdout.readline()
        finally:
            timer.cancel()

    def trace(self) -> SystemTrace:
        """What the gateway has seen so far, after :meth:`stop` too."""
        if self._trace is not None:
            return self._trace
        found = journal.read(self._journal)
        return replace(found, warnings=kernel_cache.warnings(found.measured))

    def stop(self) -> None:
        """End every process and remove every file; safe to call twice."""
        if self._gateway is not None:
            family = _family(self._gateway.pid)
            _end(self._gateway)
            self._gateway = None
            psutil.wait_procs(family, timeout=_STOP_S)
        if self._nodes is not None:
            self._nodes.stop()
            self._nodes = None
        try:
            self._trace = self.trace()
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _end(process: subprocess.Popen[str]) -> None:
    """Ask, then kill. The kernel ends what the gateway started with it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
