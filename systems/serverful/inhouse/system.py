"""An in-tree serverful system: a server per backbone, whose replicas batch across its adapters."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from systems.interface import (
    Activity,
    Decision,
    Deployment,
    RequestTrace,
    SystemInfo,
    SystemTrace,
)
from systems.runtime import journal
from systems.serverful.cards import check_one_host_device
from systems.serverful.ports import ports
from systems.serverful.system import ServerPlan, ServerSystem

from .backbone_deployment import make_deck
from .options import Options
from .schemes import PROFILED

if TYPE_CHECKING:
    from systems.serverful.simulated.outcome import Outcome
    from systems.simulation.arrival import Load
    from systems.simulation.profile import Profile


class InHouse(ServerSystem):
    """A subclass sets its name, which is also its scheme's name, and its requirements."""

    dtype_on_cpu: ClassVar[Literal["float32"] | None] = None
    """Data type of the weights on a CPU; None: the deployment's."""

    def __init__(self) -> None:
        super().__init__()
        self._options = Options()
        self._deployment: Deployment | None = None

    @property
    def start_timeout_s(self) -> float:
        return self._options.start_timeout_s

    def info(self) -> SystemInfo:
        try:
            installed = version("serverless-lora-bench")
        except PackageNotFoundError:
            installed = "not installed"
        return SystemInfo(self.name, installed, {}, self._options.model_dump())

    def servers(self, deployment: Deployment) -> Sequence[ServerPlan]:
        self._options = Options.of(deployment, self.name)
        dtype = self._stored(deployment, self._options)
        deployment = self._deployment = deployment.model_copy(update={"dtype": dtype})
        backbones = list(dict.fromkeys(each.backbone for each in deployment.functions))
        check_one_host_device("in-tree servers", deployment)
        return [
            self._plan(deployment, backbone, port)
            for backbone, port in zip(backbones, ports(deployment, len(backbones)), strict=True)
        ]

    @classmethod
    def _stored(cls, deployment: Deployment, options: Options) -> str:
        needed = cls.dtype_on_cpu if deployment.devices[0].kind == "cpu" else None
        return options.dtype or needed or deployment.dtype

    @classmethod
    def simulate(
        cls,
        deployment: Deployment,
        profile: Profile,
        load: Load,
        adapter_rank: int,
    ) -> Outcome:
        """Simulate the system in virtual time (systems/serverful/simulated)."""
        from systems.serverful.simulated.run import simulate

        dtype = cls._stored(deployment, Options.of(deployment, cls.name))
        return simulate(cls.name, deployment, profile, load, dtype=dtype, adapter_rank=adapter_rank)

    @classmethod
    def check_simulated(cls, deployment: Deployment, profile: Profile, adapter_rank: int) -> None:
        """Raise what :meth:`simulate` raises."""
        from systems.serverful.simulated.run import check

        dtype = cls._stored(deployment, Options.of(deployment, cls.name))
        check(cls.name, deployment, profile, dtype=dtype, adapter_rank=adapter_rank)

    def _plan(self, deployment: Deployment, backbone: str, port: int) -> ServerPlan:
        deployed = make_deck(deployment, backbone)
        on_cpu = deployment.devices[0].kind == "cpu"
        return ServerPlan(
            name=backbone,
            command=[sys.executable, "-m", "systems.serverful.inhouse.server"],
            base_url=f"http://{deployment.host}:{port}",
            models={name: name for name in deployed.functions},
            threads=self._options.replica_threads() * self._options.count,
            device=deployment.devices[0].name if on_cpu else None,
        )

    def _start(self, folder: Path) -> None:
        """Write a configuration file for each server, then start the servers."""
        assert self._deployment is not None, "servers are planned before they are started"
        plans = []
        for number, plan in enumerate(self._plans):
            config = folder / f"{plan.name}.json"
            content: dict[str, Any] = {
                "scheme": self.name,
                "deployment": self._deployment.model_dump(mode="json"),
                "backbone": plan.name,
                "options": self._options.model_dump(),
                # Replicas of all servers are on the devices in turn.
                "first_device": number * self._options.count,
                "port": int(plan.base_url.rpartition(":")[2]),
                "journal": str(folder / f"{plan.name}.jsonl"),
            }
            config.write_text(json.dumps(content), encoding="utf-8")
            plans.append(replace(plan, command=[*plan.command, str(config)]))
        self._plans = plans
        super()._start(folder)

    def _told(self, seen: SystemTrace) -> SystemTrace:
        if self._folder is None:
            return seen
        folder = self._folder.path
        read = {plan.name: journal.read(folder / f"{plan.name}.jsonl") for plan in self._plans}
        decisions = tuple(chain.from_iterable(each.decisions for each in read.values()))
        return replace(
            seen,
            requests=tuple(_named(each, name) for name in read for each in read[name].requests),
            activity=tuple(self._by_replica(seen.activity)),
            decisions=decisions,
            measured={**seen.measured, **_timed(decisions)},
        )

    def _by_replica(self, servers: Iterable[Activity]) -> Iterator[Activity]:
        """Yield each server's activity once per replica, since requests ran in the replicas."""
        threads = self._options.replica_threads()
        for each in servers:
            for number in range(self._options.count):
                name = f"{each.instance_id}/{number}"
                yield replace(each, instance_id=name, threads=threads)


def _named(request: RequestTrace, server: str) -> RequestTrace:
    """Prefix the request's replica with its server's name."""
    replica = request.instance_id
    return replace(request, instance_id=f"{server}/{replica}") if replica else request


def _timed(decisions: Iterable[Decision]) -> dict[str, float]:
    """Return what replicas measured before they served: the largest value by name."""
    found: dict[str, float] = {}
    for each in (each for each in decisions if each.kind == PROFILED):
        for name, value in each.numbers.items():
            found[name] = max(value, found.get(name, 0.0))
    return found
