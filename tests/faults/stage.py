"""A platform on the tiny backbone for fault injection, and its processes by role."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from systems.interface import Deployment, Endpoint, Limits, ServingSystem
from systems.registry import system_class
from tests.deployments import FUNCTIONS, tiny_deployment

from . import process_tree

REQUEST_TIMEOUT_S = 150.0
LIMITS = Limits(
    max_batch_size=4,
    max_context_tokens=512,
    keep_alive_s=60,
    request_timeout_s=REQUEST_TIMEOUT_S,
    threads_per_instance=1,
)


BRIEF = LIMITS.model_copy(update={"keep_alive_s": 0.2})
"""Limits under which idle instances are evicted almost at once and loaded again."""
_BRIEF_OPTIONS = {"shared_keep_alive_s": 0.2, "container_keep_alive_s": 0.0}


_AGENT = "systems.serverless.live.cluster.agent"


def two_nodes() -> Deployment:
    """Return the deployment on a cluster of two nodes on this machine, with one device each."""
    return deployment().model_copy(update={"cluster": "local:2"})


def brief() -> Deployment:
    return deployment(limits=BRIEF).model_copy(update={"options": _BRIEF_OPTIONS})


def deployment(
    functions: Iterable[str] = FUNCTIONS, gib: float = 2, limits: Limits = LIMITS
) -> Deployment:
    return tiny_deployment(limits, functions, gib)


@dataclass
class Stage:
    """Deploys the system when a test needs it; ``folder``: directory of its temporary files."""

    folder: Path
    deployment: Deployment | None = None
    system: ServingSystem | None = None
    endpoint: Endpoint | None = None
    ports: list[int] = field(default_factory=list)
    """Ports of all deployments so far."""
    stopped: list[psutil.Process] = field(default_factory=list)
    """Processes that a fault stopped without continuing them."""

    def up(self, wanted: Deployment) -> None:
        if self.deployment != wanted:
            self.down()
        self.deployment = wanted
        if self.system is None:
            self.system = system_class("serverless-lora")()
            self.endpoint = self.system.deploy(wanted)
            self.ports.append(int(self.url.rpartition(":")[2]))

    def down(self) -> None:
        if self.system is not None:
            self.system.stop()
        self.system = self.endpoint = None

    @property
    def url(self) -> str:
        assert self.endpoint is not None, "up() comes first"
        return self.endpoint.base_url

    @property
    def gateway(self) -> psutil.Process:
        assert self.endpoint is not None, "up() comes first"
        return psutil.Process(self.endpoint.pids[0])

    def _below(self, word: str) -> list[psutil.Process]:
        children = [p for p in self.gateway.children(recursive=True) if process_tree.is_alive(p)]
        return [child for child in children if word in process_tree.command_of(child)]

    def gateways(self) -> list[psutil.Process]:
        return [self.gateway]

    def templates(self) -> list[psutil.Process]:
        return [p for p in self._below("roles zygote") if p.ppid() == self.gateway.pid]

    def instances(self) -> list[psutil.Process]:
        """Return the forks of the template; includes a loader during its few milliseconds."""
        return [p for p in self._below("roles zygote") if p.ppid() != self.gateway.pid]

    def agents(self) -> list[psutil.Process]:
        """Return the agent processes of the nodes of a cluster."""
        return [p for p in process_tree.living() if _AGENT in process_tree.command_of(p).split()]

    def loaders(self) -> list[psutil.Process]:
        """Return the forks of the template that map a backbone writable, for milliseconds each."""
        return [
            psutil.Process(pid)
            for template in self.templates()
            for pid in _children(template.pid)
            if _writes_backbone(pid)
        ]


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in text.split()]


def _writes_backbone(pid: int) -> bool:
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return any("rw-s" in line and "memfd:backbone" in line for line in maps.splitlines())


def temporary(folder: Path) -> Path:
    """Make this process and its children create their temporary files in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(folder)
    import tempfile

    tempfile.tempdir = None
    # Torch's own cache between processes is not a leftover of the platform.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder.parent / "inductor")
    return folder
