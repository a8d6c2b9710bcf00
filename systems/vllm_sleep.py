"""vLLM that scales to zero: its sleep mode behind a proxy of ours.

The proxy (``systems/serverful/ondemand``) wakes a server when a call comes and puts it to sleep
(level 1: weights to host memory, KV cache dropped) after the deployment's keep-alive. One server
has all adapters of a backbone; or, with ``one_per: function``, each function has a server, of which
``awake`` may be awake at once. Before the endpoint answers, servers start, so many at once, and go
to sleep; or, with ``start: first-call``, a server starts when the first call for it comes, which
then waits for minutes.

Billed by what it holds, awake and asleep, on the card and in host memory. The proxy sees these
stages: ``queue``, ``warming`` (the server starts or wakes), ``prefill`` (from the call's dispatch
to its first token, with vLLM's own queue) and ``decode``.

Needs a card. vLLM has the endpoints of sleep mode only in its development mode, which opens more to
every process of this machine. Source of flags and endpoints: vLLM's page on sleep mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import psutil
from pydantic import PositiveFloat, PositiveInt

from systems.engine.checkpoint import plan_layout
from systems.errors import DeploymentError
from systems.interface import Deployment, Function
from systems.serverful.cards import Placed, place
from systems.serverful.ondemand.config import Config, OnDemandServer, StartAt
from systems.serverful.ondemand.room import Room, check_host
from systems.serverful.ondemand.system import OnDemandSystem
from systems.serverful.ports import ports
from systems.serverful.system import ServerPlan
from systems.serverful.warm_up import prompt_lengths
from systems.vllm import Options, Vllm, card_bytes

_DEV_MODE = {"VLLM_SERVER_DEV_MODE": "1"}


class SleepOptions(Options):
    """``gpu_memory_utilization`` is for all servers together."""

    one_per: Literal["backbone", "function"] = "backbone"
    start: StartAt = "deployment"
    awake: PositiveInt | None = None
    """Servers that may be awake at once; None: as many as fit the card."""
    asleep_gib: PositiveFloat = 2.25
    """What a sleeping server keeps on the card, set aside for those beyond ``awake``."""
    turn_s: PositiveFloat = 2.0
    """How long a server that always has calls stays awake while another waits for its place."""
    sleep_timeout_s: PositiveFloat = 120.0
    """For going to sleep and for waking. The first sleep takes longest."""


class VllmSleep(OnDemandSystem, Vllm):
    name = "vllm-sleep"
    summary = "vLLM with sleep mode, woken by calls, asleep after a keep-alive (needs a card)"
    ttft_histogram = None
    known_options = SleepOptions

    def __init__(self) -> None:
        super().__init__()
        self._options: SleepOptions = SleepOptions()
        self._share = 0.0
        self._room: Room | None = None
        """Of which each server's KV cache is a given part; None: vLLM takes what it finds free."""

    def groups(self, deployment: Deployment) -> Mapping[str, Sequence[Function]]:
        if self._options.one_per == "function":
            return {function.id: [function] for function in deployment.functions}
        return super().groups(deployment)

    def _utilization(self, placed: Placed) -> float:  # noqa: ARG002
        return self._share

    def configs(self, deployment: Deployment) -> Sequence[Config]:
        found = super().configs(deployment)
        weights = [server.weights_bytes for config in found for server in config.servers]
        check_host(weights, psutil.virtual_memory().available)
        return found

    def proxied(self, deployment: Deployment) -> Config:
        self._options = SleepOptions.read(deployment, self.name)
        name = deployment.devices[0].name
        if deployment.devices[0].kind == "cpu":
            raise DeploymentError(f"vllm-sleep: sleep mode needs a card; the device is {name}")
        for function in deployment.functions:
            if function.adapter is None:
                raise DeploymentError(f"vllm-sleep: function {function.id} needs an adapter")
        groups = self.groups(deployment)
        weights = self._divide(deployment, groups)
        port, *free = ports(deployment, 1 + len(groups))
        plans = self._plans_on(free, deployment, place(groups, deployment.devices))
        return self._over(plans, weights, deployment, port)

    def _divide(
        self, deployment: Deployment, groups: Mapping[str, Sequence[Function]]
    ) -> Sequence[int]:
        """Divide the card among the servers. Return the bytes of weights of each."""
        options = self._options
        sizes = {
            name: plan_layout(path, deployment.dtype).nbytes
            for name, path in deployment.backbones.items()
        }
        weights = [sizes[functions[0].backbone] for functions in groups.values()]
        room = Room(
            servers=len(weights),
            weights_bytes=max(weights),
            card_bytes=card_bytes(deployment.devices[0]),
            utilization=options.of_card(deployment.devices[0]),
            asleep_bytes=round(options.asleep_gib * 2**30),
        )
        slots = room.slots(options.awake)
        self._options = options.model_copy(update={"awake": slots})
        self._share = room.share(slots)
        # Beside others that start, what vLLM finds free is not its own.
        together = options.start == "deployment" and slots > 1
        self._room = room if together else None
        return weights

    def _kv(self, weights_bytes: int) -> Sequence[str]:
        """Return the flags that give the KV cache its size."""
        if self._room is None or self._options.awake is None:
            return ()
        size = self._room.kv_bytes(self._options.awake, weights_bytes)
        return "--kv-cache-memory-bytes", str(size)

    def _over(
        self,
        plans: Sequence[ServerPlan],
        weights: Sequence[int],
        deployment: Deployment,
        port: int,
    ) -> Config:
        options, limits = self._options, deployment.limits
        return Config(
            servers=tuple(
                OnDemandServer(
                    name=plan.name,
                    command=tuple(
                        self._adding(plan.command, "--enable-sleep-mode", *self._kv(nbytes))
                    ),
                    environment={**plan.environment, **_DEV_MODE},
                    base_url=plan.base_url,
                    models=tuple(plan.models),
                    function_id=plan.function_id,
                    weights_bytes=nbytes,
                )
                for plan, nbytes in zip(plans, weights, strict=True)
            ),
            host=deployment.host,
            port=port,
            device=deployment.devices[0].name,
            start=options.start,
            slots=options.awake or len(plans),
            turn_s=options.turn_s,
            keep_alive_s=limits.keep_alive_s,
            request_timeout_s=limits.request_timeout_s,
            start_timeout_s=options.start_timeout_s,
            sleep_timeout_s=options.sleep_timeout_s,
            warm_up_tokens=prompt_lengths(limits.max_context_tokens),
            sleeps=True,
        )
