"""Base class of systems whose servers are up on demand, behind the proxy."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import ClassVar, Literal

from systems.interface import Decision, Deployment, SystemTrace
from systems.runtime import journal
from systems.serverful.cards import by_card, check_one_host_device
from systems.serverful.memory import together
from systems.serverful.system import ServerPlan, ServerSystem

from .config import Config

_PROXY_START_S = 60.0


class OnDemandSystem(ServerSystem):
    """A subclass configures the proxy. Billed by what its servers hold, not by the hour."""

    kind: ClassVar[Literal["serverless", "serverful", "external"]] = "serverless"

    def __init__(self) -> None:
        super().__init__()
        self._configs: dict[str, Config] = {}
        """By the name of its proxy."""

    @abstractmethod
    def proxied(self, deployment: Deployment) -> Config:
        """Return the configuration of the proxy of a deployment on one device, except for its
        folder. Raise ``SystemsError`` if the deployment cannot be served."""

    def configs(self, deployment: Deployment) -> Sequence[Config]:
        """Return the configuration of the proxy of each card. Raise ``SystemsError`` if this
        machine cannot serve all of them together."""
        return list(map(self.proxied, by_card(deployment)))

    @property
    def start_timeout_s(self) -> float:
        """For the proxy, which starts servers before it answers, at worst one after another."""
        return max(map(_start_timeout_s, self._configs.values()), default=_PROXY_START_S)

    def servers(self, deployment: Deployment) -> Sequence[ServerPlan]:
        """Return a proxy for each card."""
        check_one_host_device(f"servers of {self.name}", deployment)
        configs = self.configs(deployment)
        self._configs = {f"{self.name}-{n}" if n else self.name: c for n, c in enumerate(configs)}
        return [
            ServerPlan(
                name=name,
                command=[sys.executable, "-m", "systems.serverful.ondemand"],
                base_url=f"http://{config.host}:{config.port}",
                models={model: model for each in config.servers for model in each.models},
                threads=1,
                device=None,
            )
            for name, config in self._configs.items()
        ]

    def _start(self, folder: Path) -> None:
        """Write the proxies' configuration files, then start them."""
        plans = []
        for plan in self._plans:
            config = self._configs[plan.name].model_copy(update={"folder": str(folder / plan.name)})
            self._configs[plan.name] = config
            Path(config.folder).mkdir()
            path = folder / f"{plan.name}.json"
            path.write_text(config.model_dump_json(), encoding="utf-8")
            plans.append(replace(plan, command=[*plan.command, str(path)]))
        self._plans = plans
        super()._start(folder)

    def _told(self, seen: SystemTrace) -> SystemTrace:
        if self._folder is None or not self._configs:
            return seen
        told = [journal.read(Path(config.journal)) for config in self._configs.values()]
        decisions = tuple(chain.from_iterable(each.decisions for each in told))
        return replace(
            seen,
            requests=tuple(chain.from_iterable(each.requests for each in told)),
            memory=tuple(together(each.memory for each in told)),
            activity=tuple(chain.from_iterable(each.activity for each in told)),
            processor=tuple(chain.from_iterable(each.processor for each in told)),
            decisions=decisions,
            problems=(*seen.problems, *chain.from_iterable(each.problems for each in told)),
            measured={**seen.measured, **_timed(decisions)},
        )


def _start_timeout_s(config: Config) -> float:
    if config.start == "first-call":
        return _PROXY_START_S
    each_s = config.start_timeout_s + config.sleep_timeout_s
    return _PROXY_START_S + len(config.servers) * each_s


def _timed(decisions: Iterable[Decision]) -> dict[str, float]:
    """Return the mean and the number of the transitions of each kind."""
    took_s: dict[str, list[float]] = defaultdict(list)
    for each in decisions:
        took_s[each.kind].append(each.numbers["took_ns"] / 1e9)
    means = {f"{kind}_mean_s": sum(times) / len(times) for kind, times in took_s.items()}
    return means | {f"{kind}_n": float(len(times)) for kind, times in took_s.items()}
