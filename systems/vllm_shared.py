"""vLLM, a server for each function over one copy of the backbone's weights, kept up.

``vllm preload`` holds the weights of a backbone on each card, and the functions' servers map them
(``--load-format ipc_cache``): what vLLM itself offers against a copy of the weights for each
function. The servers are processes of their own, which take turns on the card, and they are
trusted: each can write to the weights that all use.

Each server has an equal part of what the card has beside the weights. The size of its KV cache is
given, because vLLM otherwise measures free memory as it starts, which fails beside others that
start too. A server that does not find the weights fails instead of loading a copy, so that
``arguments``, which the servers get, must not change the weights (``--quantization``, say).

Needs a card and vLLM 0.31 or later. Source of flags: ``vllm preload --help`` and
``vllm/model_executor/model_loader/weight_cache`` (0.33.0).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from systems.engine.checkpoint import plan_layout
from systems.errors import DeploymentError
from systems.interface import Deployment
from systems.runtime.cards import index
from systems.serverful.cards import Placed, environment
from systems.serverful.process import ServerProcess
from systems.serverful.system import ServerPlan
from systems.vllm import QUIET, VllmDedicated, card_bytes, executable

_HOLDER_BYTES = 1 << 30
"""The context of a process that holds weights, about."""
_WORK_BYTES = 3 << 30
"""Context, activations and graphs of a server beside its KV cache, about."""
_GIB = 2**30


class VllmShared(VllmDedicated):
    name = "vllm-shared"
    summary = "vLLM, a server a function over one copy of the weights, kept up (needs a card)"

    def __init__(self) -> None:
        super().__init__()
        self._beside: Mapping[str, int] = {}
        """What a server has on its card beside the weights, by device."""
        self._weights: Mapping[str, int] = {}
        """Bytes by backbone."""
        self._holders: Mapping[str, ServerPlan] = {}
        """The process that holds the weights of a server, by the server's name."""

    def servers(self, deployment: Deployment) -> Sequence[ServerPlan]:
        self.known_options.read(deployment, self.name)
        device = deployment.devices[0]
        if device.kind == "cpu":
            raise DeploymentError(
                f"vllm-shared: weights are shared on a card; the device is {device.name}"
            )
        return super().servers(deployment)

    def _plans_on(
        self, free: Sequence[int], deployment: Deployment, placed: Sequence[Placed]
    ) -> Sequence[ServerPlan]:
        dtype = self._options.dtype or deployment.dtype
        self._weights = {
            backbone: plan_layout(path, dtype).nbytes
            for backbone, path in deployment.backbones.items()
        }
        self._beside = {each.device.name: self._divided(each, placed) for each in placed}
        holders = {_key(each): _holder(deployment, each, dtype) for each in placed}
        self._holders = {each.name: holders[_key(each)] for each in placed}
        plans = super()._plans_on(free, deployment, placed)
        return [self._mapping(plan, each) for plan, each in zip(plans, placed, strict=True)]

    def _divided(self, server: Placed, placed: Sequence[Placed]) -> int:
        """Return an equal part of what the card of ``server`` has beside the weights that its
        servers map. Raise ``DeploymentError`` if that is too little."""
        device = server.device
        mapped = {_key(each)[0] for each in placed if each.device.name == device.name}
        held = sum(self._weights[backbone] + _HOLDER_BYTES for backbone in mapped)
        own = round((self._options.of_card(device) * card_bytes(device) - held) / server.beside)
        if own <= _WORK_BYTES:
            raise DeploymentError(
                f"vllm-shared: {server.beside} servers on {device.name} have {own / _GIB:.1f} GiB"
                f" each beside the weights; each needs more than {_WORK_BYTES / _GIB:.0f} GiB"
            )
        return own

    def _utilization(self, placed: Placed) -> float:
        """vLLM counts the weights that it maps as its own."""
        mine = self._beside[placed.device.name] + self._weights[_key(placed)[0]]
        return round(mine / card_bytes(placed.device), 4)

    def _mapping(self, plan: ServerPlan, placed: Placed) -> ServerPlan:
        """Have a server map weights."""
        kv_bytes = self._beside[placed.device.name] - _WORK_BYTES
        flags = ("--load-format", "ipc_cache", "--kv-cache-memory-bytes", str(kv_bytes))
        return replace(plan, command=self._adding(plan.command, *flags))

    def _start(self, folder: Path) -> None:
        """Start the processes that hold weights, then, when they do, the servers."""
        holders = {holder.name: holder for holder in self._holders.values()}
        # Short names: the path of a Unix socket may have 107 characters.
        sockets = {name: folder / str(number) for number, name in enumerate(holders)}
        for name, plan in holders.items():
            command = (*plan.command, "--weight-cache-socket-dir", str(sockets[name]))
            process = ServerProcess(name, command, plan.environment, folder / f"{name}.log")
            self._servers.append((plan, process))
        for name, (_, process) in zip(sockets, self._servers, strict=True):
            process.wait_until(partial(_listens, sockets[name]), self.start_timeout_s)
        self._plans = [
            _finding(plan, sockets[self._holders[plan.name].name]) for plan in self._plans
        ]
        super()._start(folder)

    def ready(self, plan: ServerPlan) -> bool:
        for holder, process in self._servers:
            how = None if holder.models else process.ended()
            if how is not None:
                raise DeploymentError(f"{holder.name}: ended while servers started, {how}")
        return super().ready(plan)


def _key(placed: Placed) -> tuple[str, str]:
    """Return the backbone and the device of a server: what one process holds."""
    return placed.functions[0].backbone, placed.device.name


def _holder(deployment: Deployment, placed: Placed, dtype: str) -> ServerPlan:
    backbone, device = _key(placed)
    model = ("--model", str(deployment.backbones[backbone]), "--dtype", dtype)
    return ServerPlan(
        name=f"weights-of-{backbone}-{index(device)}",
        command=(str(executable()), "preload", *model),
        base_url="",
        models={},
        threads=0,
        environment={**QUIET, **environment(placed.device)},
        device=None,
    )


def _listens(sockets: Path) -> bool:
    """vLLM makes the socket when it holds the weights."""
    return any(sockets.glob("*.sock"))


def _finding(plan: ServerPlan, sockets: Path) -> ServerPlan:
    where = json.dumps({"socket_dir": str(sockets), "fallback": False})
    return replace(plan, command=(*plan.command, "--model-loader-extra-config", where))
