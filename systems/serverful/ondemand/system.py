"""Base class of systems whose servers are up on demand, behind the proxy."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from systems.interface import Decision, Deployment, SystemTrace
from systems.runtime import journal
from systems.serverful.system import ServerPlan, ServerSystem

from .config import Config

_PROXY_START_S = 60.0


class OnDemandSystem(ServerSystem):
    """A subclass configures the proxy. Billed by what its servers hold, not by the hour."""

    kind: ClassVar[Literal["serverless", "serverful", "external"]] = "serverless"

    def __init__(self) -> None:
        super().__init__()
        self._config: Config | None = None

    @abstractmethod
    def proxied(self, deployment: Deployment) -> Config:
        """Return the proxy's configuration, except for its folder. Raise ``SystemsError`` if the
        deployment cannot be served."""

    @property
    def start_timeout_s(self) -> float:
        """For the proxy, which starts servers one after another before it answers."""
        if self._config is None or self._config.start == "first-call":
            return _PROXY_START_S
        each_s = self._config.start_timeout_s + self._config.sleep_timeout_s
        return _PROXY_START_S + len(self._config.servers) * each_s

    def servers(self, deployment: Deployment) -> Sequence[ServerPlan]:
        config = self._config = self.proxied(deployment)
        return [
            ServerPlan(
                name=self.name,
                command=[sys.executable, "-m", "systems.serverful.ondemand"],
                base_url=f"http://{config.host}:{config.port}",
                models={model: model for each in config.servers for model in each.models},
                threads=1,
                device=None,
            )
        ]

    def _start(self, folder: Path) -> None:
        """Write the proxy's configuration file, then start it."""
        assert self._config is not None, "servers are planned before they are started"
        self._config = self._config.model_copy(update={"folder": str(folder)})
        path = folder / "proxy.json"
        path.write_text(self._config.model_dump_json(), encoding="utf-8")
        (plan,) = self._plans
        self._plans = [replace(plan, command=[*plan.command, str(path)])]
        super()._start(folder)

    def _told(self, seen: SystemTrace) -> SystemTrace:
        if self._folder is None or self._config is None:
            return seen
        told = journal.read(Path(self._config.journal))
        return replace(
            told,
            problems=(*seen.problems, *told.problems),
            warnings=seen.warnings,
            measured={**seen.measured, **_timed(told.decisions)},
            files=seen.files,
        )


def _timed(decisions: Iterable[Decision]) -> dict[str, float]:
    """Return the mean and the number of the transitions of each kind."""
    took_s: dict[str, list[float]] = defaultdict(list)
    for each in decisions:
        took_s[each.kind].append(each.numbers["took_ns"] / 1e9)
    means = {f"{kind}_mean_s": sum(times) / len(times) for kind, times in took_s.items()}
    return means | {f"{kind}_n": float(len(times)) for kind, times in took_s.items()}
