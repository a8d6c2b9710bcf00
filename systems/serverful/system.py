"""Systems that consist of external servers: started, health-checked, observed and stopped.

A subclass defines the servers of a deployment. Their memory is what the kernel reports of their
process trees. They are billed as active from their first response until they are stopped. Internals
(stages, start types) cannot be observed and are missing.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from systems.errors import DeploymentError
from systems.interface import (
    Activity,
    Deployment,
    Endpoint,
    Route,
    ServingSystem,
    SystemTrace,
)
from systems.runtime.swept_folder import SweptFolder

from .http import get, served_models
from .memory import Monitored, PssWatch
from .process import ServerProcess
from .prometheus import ttft


@dataclass(frozen=True)
class ServerPlan:
    """One server. ``command``: empty if it already runs. ``models``: deployed name → the server's
    name for it. ``function_id``: the only function it serves, None if several. ``device``: where
    its memory counts; None if the operating system does not report it (a GPU's)."""

    name: str
    command: Sequence[str]
    base_url: str
    models: Mapping[str, str]
    threads: int
    environment: Mapping[str, str] = field(default_factory=dict)
    function_id: str | None = None
    device: str | None = "cpu:0"


class ServerSystem(ServingSystem):
    """Base class of systems that run as separate servers."""

    kind: ClassVar[Literal["serverless", "serverful", "external"]] = "serverful"
    ttft_histogram: str | None = None
    """Name of the TTFT histogram in the server's Prometheus metrics, if any."""

    def __init__(self) -> None:
        self._folder: SweptFolder | None = None
        self._plans: Sequence[ServerPlan] = ()
        self._servers: list[tuple[ServerPlan, ServerProcess]] = []
        self._watch: PssWatch | None = None
        self._headers: Mapping[str, str] = {}
        self._startup_s = 0.0
        self._ready_ns = 0
        self._before: dict[str, str] = {}
        self._evidence: SystemTrace | None = None
        self._hidden: Mapping[str, str] = {}

    @abstractmethod
    def servers(self, deployment: Deployment) -> Sequence[ServerPlan]:
        """Return the servers to start. ``SystemsError`` if they cannot serve the deployment."""

    @property
    @abstractmethod
    def start_timeout_s(self) -> float: ...

    def check(self, deployment: Deployment) -> None:
        self.servers(deployment)

    def deploy(self, deployment: Deployment) -> Endpoint:
        self._plans = self.servers(deployment)
        self._folder = SweptFolder(f"slbench-{self.name}-")
        paths = (*deployment.backbones.values(), *(f.adapter for f in deployment.functions))
        self._hidden = {str(path): path.name for path in paths if path}
        started = time.monotonic()
        try:
            self._start(self._folder.path)
        except BaseException:
            self.stop()
            raise
        self._startup_s = time.monotonic() - started
        self._ready_ns = time.monotonic_ns()
        watch = PssWatch(
            [
                Monitored(server, plan.device, plan.function_id)
                for plan, server in self._servers
                if plan.device
            ]
        )
        watch.start()
        self._watch = watch
        self._before = self._scrape()
        return self._endpoint()

    def _start(self, folder: Path) -> None:
        """Start all servers at once; return when every one serves its models."""
        for plan in self._plans:
            if plan.command:
                log = folder / f"{plan.name}.log"
                server = ServerProcess(plan.name, plan.command, plan.environment, log)
                self._servers.append((plan, server))
            elif not self.ready(plan):
                raise DeploymentError(_unready(plan, served_models(plan.base_url, self._headers)))
        for plan, server in self._servers:
            server.wait_until(partial(self.ready, plan), self.start_timeout_s)
        for plan, server in self._servers:
            server.wait_until(partial(self.warm, plan), self.start_timeout_s)

    def warm(self, plan: ServerPlan) -> bool:  # noqa: ARG002
        """Send a server that is ready what it needs before the load, by default nothing; return
        whether it could be reached."""
        return True

    def ready(self, plan: ServerPlan) -> bool:
        """Whether the server of ``plan`` serves all its models."""
        return set(plan.models.values()) <= (served_models(plan.base_url, self._headers) or set())

    def _endpoint(self) -> Endpoint:
        routes = {
            name: Route(plan.base_url, model)
            for plan in self._plans
            for name, model in plan.models.items()
        }
        pids = tuple(server.pid for _, server in self._servers)
        first = self._plans[0].base_url
        return Endpoint(first, tuple(routes), pids, routes, self._headers)

    def _scrape(self) -> dict[str, str]:
        if self.ttft_histogram is None:
            return {}
        found = {plan.name: get(f"{plan.base_url}/metrics", self._headers) for plan in self._plans}
        return {name: text for name, text in found.items() if text}

    def system_trace(self) -> SystemTrace:
        return self._evidence or self._told(self._seen())

    def _told(self, seen: SystemTrace) -> SystemTrace:
        """Add what the servers recorded themselves to what was observed from outside."""
        return seen

    def _seen(self) -> SystemTrace:
        now_ns = time.monotonic_ns()
        after = self._scrape()
        scraped = {f"metrics-before-{name}.txt": text for name, text in self._before.items()}
        scraped |= {f"metrics-after-{name}.txt": text for name, text in after.items()}
        startup = {"startup_s": self._startup_s} if self._servers else {}
        ttfts, warnings = self._ttft(after)
        return SystemTrace(
            memory=self._watch.steps if self._watch else (),
            activity=tuple(
                Activity(
                    self._ready_ns, now_ns, plan.device, plan.name, plan.function_id, plan.threads
                )
                for plan, _ in self._servers
                if plan.device and self._ready_ns
            ),
            problems=tuple(self._deaths()),
            warnings=warnings,
            measured={**startup, **ttfts},
            files={**scraped, **self._logs()},
        )

    def _ttft(self, after: Mapping[str, str]) -> tuple[Mapping[str, float], tuple[str, ...]]:
        """Measure TTFT by the servers' own histogram, where they have one; with warnings."""
        if self.ttft_histogram is None:
            return {}, ()
        # A server that has ended has no second scrape, so there is no difference to compute.
        before = "\n".join(self._before.get(name, "") for name in after)
        try:
            return ttft(before, "\n".join(after.values()), self.ttft_histogram), ()
        except ValueError as error:
            why = str(error)[:80]
            text = f"TTFT: not checked against the server's; /metrics is not Prometheus' ({why})"
            return {}, (text,)

    def _deaths(self) -> Iterator[str]:
        for _, server in self._servers:
            if how := server.ended():
                yield f"{self.name}: server {server.name} ended while it served, {how}"

    def _logs(self) -> dict[str, str]:
        """Return the logs with local model paths replaced by model names, for privacy."""
        logs = {}
        for log in sorted(self._folder.path.rglob("*.log")) if self._folder else ():
            text = log.read_text(errors="replace")
            for path, name in self._hidden.items():
                text = text.replace(path, name)
            logs[log.name] = text
        return logs

    def stop(self) -> None:
        if self._folder is None:
            return
        with ExitStack() as ends:  # each of them, even if one or what comes before is interrupted
            for _, server in self._servers:
                ends.callback(server.stop)
            if self._watch is not None:
                ends.callback(self._watch.stop)
            seen = self._seen() if self._ready_ns else SystemTrace()
        self._evidence = self._told(seen)
        self._folder.remove()
        self._folder = None


def _unready(plan: ServerPlan, listed: frozenset[str] | None) -> str:
    if listed is None:
        return f"{plan.name}: no OpenAI-compatible server answers at {plan.base_url}"
    missing = sorted(set(plan.models.values()) - listed)
    return (
        f"{plan.name}: {plan.base_url} does not serve {missing[0]!r}; it serves"
        f" {', '.join(sorted(listed))} (options.models names them)"
    )
