"""A serverless system run live: the gateway process, started, watched and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import psutil

from systems import errors
from systems.access import AccessTokens, check_address, headers
from systems.interface import Deployment, Endpoint, ServingSystem, SystemInfo, SystemTrace
from systems.runtime import journal
from systems.runtime.links import secret
from systems.runtime.links.address import ClusterAddress
from systems.runtime.sandbox import confine

from ..core.policies import PolicySet
from ..core.policies.registry import SEAMS, policy_set
from ..options import Options
from . import kernel_cache
from .cluster.launch import Nodes, check_cluster
from .machine import check_machine, check_mps
from .plan import make_plan

if TYPE_CHECKING:
    from systems.simulation.arrival import Arrival
    from systems.simulation.profile import Profile

    from ..simulated.run import Outcome

_START_S = 120.0
_STOP_S = 10.0


class LiveServerless(ServingSystem):
    """Base of the serverless systems: a subclass is its name and its choice of policies."""

    policy_names: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Policies by seam, each by its name or as ``package.module:Class``. A seam that is missing
    here uses the default of ``PolicySet``."""
    kind: ClassVar[Literal["serverless", "serverful", "external"]] = "serverless"
    audits: ClassVar[bool] = True
    clusters: ClassVar[bool] = True
    checkpoint_tier: ClassVar[bool] = False
    """Whether checkpoints lie ready in the host's memory; a simulation asks, and live the page
    cache does it for all."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._gateway: subprocess.Popen[str] | None = None
        self._nodes: Nodes | None = None
        self._evidence: SystemTrace | None = None
        self._options = Options()
        self._policies = self._chosen(self._options, {})
        self._confinement: tuple[str, ...] = ()

    @classmethod
    def known_policies(cls) -> Mapping[str, Sequence[str]]:
        return {name: seam.names for name, seam in SEAMS.items()}

    @classmethod
    def _chosen(cls, options: Options, replaced: Mapping[str, str]) -> dict[str, str]:
        return {"admission": options.admission, **cls.policy_names, **replaced}

    @classmethod
    def policies(cls, options: Options, replaced: Mapping[str, str] | None = None) -> PolicySet:
        """Build the policy set of this system under ``options``, with the policies in ``replaced``
        (seam → name or ``package.module:Class``). Raise ``PolicyError`` if one is unknown."""
        return policy_set(cls._chosen(options, replaced or {}), options)

    @classmethod
    def simulate(
        cls,
        deployment: Deployment,
        profile: Profile,
        arrivals: Iterable[Arrival],
        adapter_rank: int,
    ) -> Outcome:
        """In virtual time: systems/serverless/simulated."""
        from ..simulated.run import simulate

        return simulate(
            deployment,
            cls.policies(Options.model_validate(dict(deployment.options)), deployment.policies),
            profile,
            arrivals,
            tiered=cls.checkpoint_tier,
            adapter_rank=adapter_rank,
        )

    def configure(self, deployment: Deployment) -> None:
        options = Options.model_validate(dict(deployment.options))
        self.policies(options, deployment.policies)
        self._options, self._policies = options, self._chosen(options, deployment.policies)

    def check(self, deployment: Deployment) -> None:
        check_address(deployment, AccessTokens.of_environment())
        self.configure(deployment)
        make_plan(deployment, forks=policy_set(self._policies, self._options).forks)
        if deployment.cluster is None:
            check_machine(deployment)
        else:
            check_cluster(deployment)
        if self._options.mps:
            check_mps(deployment)

    def info(self) -> SystemInfo:
        try:
            installed = version("serverless-lora-bench")
        except PackageNotFoundError:
            installed = "not installed"
        policies = policy_set(self._policies, self._options).make().names | self._policies
        options = self._options.model_dump()
        return SystemInfo(
            self.name,
            installed,
            policies,
            options,
            self._confinement,
            self.system_trace().isolation_gaps,
        )

    def deploy(self, deployment: Deployment) -> Endpoint:
        self.check(deployment)
        self._confinement = confine.names(deployment.devices[0].kind)
        self._directory = Path(tempfile.mkdtemp(prefix=f"slbench-{self.name}-"))
        config = self._directory / "config.json"
        content: dict[str, Any] = {
            "policies": self._policies,
            "deployment": deployment.model_dump(mode="json"),
            "journal": str(self._journal),
        }
        key, environment = secret.make(), dict(os.environ)
        if deployment.cluster is not None:
            content["nodes_host"] = ClusterAddress.parse(deployment.cluster).our_address()
            environment[secret.VARIABLE] = key
        config.write_text(json.dumps(content), encoding="utf-8")
        command = [sys.executable, "-m", "systems.serverless.live.gateway", str(config)]
        self._gateway = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        answer = self._await_answer()
        if deployment.cluster is not None:
            self._gather(deployment.cluster, content["nodes_host"], answer["nodes_port"], key)
        names = (*(f.id for f in deployment.functions), *deployment.backbones)
        url = f"http://{deployment.host}:{answer['port']}"
        operator = headers(AccessTokens.of_environment())
        return Endpoint(url, names, (self._gateway.pid,), headers=operator)

    def _gather(self, cluster: str, gateway: str, port: int, key: str) -> None:
        """Have agents started on the cluster's machines, and wait until they are in use."""
        self._nodes = Nodes(cluster, gateway, port, key)
        try:
            self._nodes.await_ready()
        except BaseException:
            self.stop()
            raise

    @property
    def _journal(self) -> Path:
        assert self._directory is not None, "deploy comes first"
        return self._directory / "journal.jsonl"

    def _await_answer(self) -> dict[str, Any]:
        """The line with which the gateway says that it answers, or why it does not."""
        assert self._gateway is not None
        assert self._gateway.stdout is not None
        timer = threading.Timer(_START_S, self._gateway.kill)
        timer.start()
        line = self._gateway.stdout.readline()
        timer.cancel()
        answer: dict[str, Any] = json.loads(line) if line else {}
        if "port" in answer:
            return answer
        self.stop()
        if "error" in answer:
            raise getattr(errors, answer["kind"])(answer["error"])
        raise errors.DeploymentError(
            f"{self.name}: the gateway ended before it answered; its last words are on stderr"
        )

    def system_trace(self) -> SystemTrace:
        if self._evidence is not None:
            return self._evidence
        return self._read() if self._directory else SystemTrace()

    def _read(self) -> SystemTrace:
        found = journal.read(self._journal)
        return replace(found, warnings=kernel_cache.warnings(found.measured))

    def stop(self) -> None:
        if self._gateway is not None:
            family = _family(self._gateway.pid)
            _end(self._gateway)
            self._gateway = None
            psutil.wait_procs(family, timeout=_STOP_S)
        if self._nodes is not None:
            self._nodes.stop()
            self._nodes = None
        if self._directory is not None:
            try:
                self._evidence = self._read()
            finally:
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory = None


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _end(process: subprocess.Popen[str]) -> None:
    """Ask, then insist. Whatever the gateway started ends with it, by the kernel's hand."""
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
