"""A platform for fault injection, on a small backbone, and its processes by role."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from systems.interface import Deployment, Endpoint, Limits, ServingSystem
from systems.registry import system_class
from tests.deployments import FUNCTIONS

from . import device_memory, process_tree
from .device_memory import Reading
from .target import ON_CPU, Target

REQUEST_TIMEOUT_S = 150.0
LIMITS = Limits(
    max_batch_size=4,
    max_context_tokens=512,
    keep_alive_s=60,
    request_timeout_s=REQUEST_TIMEOUT_S,
    threads_per_instance=1,
)


BACK_S = 8.0
"""Time limit for the memory of the device to be back after a stop."""
BRIEF = LIMITS.model_copy(update={"keep_alive_s": 0.2})
"""Limits under which idle instances are evicted almost at once and loaded again."""
_BRIEF_OPTIONS = {"shared_keep_alive_s": 0.2, "container_keep_alive_s": 0.0}


_AGENT = "systems.serverless.live.cluster.agent"


def deployment(
    functions: Iterable[str] = FUNCTIONS, limits: Limits = LIMITS, target: Target = ON_CPU
) -> Deployment:
    return target.deployment(limits, functions)


def two_nodes(target: Target) -> Deployment:
    """Return the deployment on a cluster of two nodes on this machine, with one device each."""
    return target.deployment(LIMITS).model_copy(update={"cluster": "local:2"})


def brief(target: Target) -> Deployment:
    return target.deployment(BRIEF, options=_BRIEF_OPTIONS)


def shared(target: Target) -> Deployment:
    """Return the deployment whose functions share an instance."""
    return target.deployment(LIMITS, isolation="backbone")


@dataclass
class Stage:
    """Deploys the system when a test needs it; ``folder``: directory of its temporary files."""

    folder: Path
    target: Target = ON_CPU
    deployment: Deployment | None = None
    system: ServingSystem | None = None
    endpoint: Endpoint | None = None
    ports: list[int] = field(default_factory=list)
    """Ports of all deployments so far."""
    stopped: list[psutil.Process] = field(default_factory=list)
    """Processes that a fault stopped without continuing them."""
    shm_before: frozenset[str] = field(default_factory=lambda: frozenset(os.listdir("/dev/shm")))
    """Names in ``/dev/shm`` that others have there."""
    left: list[str] = field(default_factory=list)
    """Memory of the device that a platform held after it had ended."""
    _bare: Reading | None = None

    def up(self, wanted: Deployment) -> None:
        if self.deployment != wanted:
            self.down()
        self.deployment = wanted
        if self.system is None:
            self._bare = self.device_memory()
            self.system = system_class("serverless-lora")()
            self.endpoint = self.system.deploy(wanted)
            self.ports.append(int(self.url.rpartition(":")[2]))

    def down(self) -> None:
        """Stop the platform, and note the memory of the device that it does not give back."""
        if self.system is not None:
            assert self._bare is not None, "up() has read it"
            mine = process_tree.below(self.endpoint.pids[0]) if self.endpoint else set[int]()
            self.system.stop()
            self.left += device_memory.not_back(self._bare, self.device_memory, mine, BACK_S)
        self.system = self.endpoint = None

    def device_memory(self) -> Reading:
        return device_memory.reader(self.target.device)()

    @property
    def url(self) -> str:
        assert self.endpoint is not None, "up() comes first"
        return self.endpoint.base_url

    @property
    def gateway(self) -> psutil.Process:
        assert self.endpoint is not None, "up() comes first"
        return psutil.Process(self.endpoint.pids[0])

    def gateways(self) -> list[psutil.Process]:
        return [self.gateway]

    def templates(self) -> list[psutil.Process]:
        return process_tree.templates(self.gateway.pid)

    def forks(self, role: str) -> list[psutil.Process]:
        """Return the forks of the template that run ``role``, the youngest last."""
        return [
            fork for template in self.templates() for fork in process_tree.named(role, template.pid)
        ]

    def instances(self) -> list[psutil.Process]:
        """Return the processes of instances. Those of the warm pool are the youngest, since it is
        refilled when an instance has taken one; as functions start they cannot be told apart."""
        found = self.forks("instance")
        pool = int(self.target.options.get("prewarmed", 0))
        return found[: max(self._started, len(found) - pool)]

    def prewarmed(self) -> list[psutil.Process]:
        """Return the youngest process of the warm pool, if all functions have instances."""
        return self.forks("instance")[self._started :][-1:]

    @property
    def _started(self) -> int:
        """The number of instances when all functions have one."""
        assert self.deployment is not None, "up() comes first"
        return len(FUNCTIONS) if self.deployment.isolation == "function" else 1

    def loaders(self) -> list[psutil.Process]:
        """Return the processes that fill a shared copy, for milliseconds each on the CPU."""
        return self.forks("loader")

    def parsers(self) -> list[psutil.Process]:
        return self.forks("parser")

    def on_device(self) -> list[psutil.Process]:
        """Return all processes that use the device: neither gateway nor template does."""
        return [*self.forks("instance"), *self.loaders()]

    def agents(self) -> list[psutil.Process]:
        """Return the agent processes of the nodes of a cluster."""
        return [p for p in process_tree.living() if _AGENT in process_tree.command_of(p).split()]


def temporary(folder: Path) -> Path:
    """Make this process and its children create their temporary files in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(folder)
    import tempfile

    tempfile.tempdir = None
    # Torch's own cache between processes is not a leftover of the platform.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder.parent / "inductor")
    return folder
