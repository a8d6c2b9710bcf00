"""vLLM, a server for each function over one copy of the backbone's weights, kept up.

``vllm preload`` holds the weights of a backbone on each card, and the functions' servers map them
(``--load-format ipc_cache``): what vLLM itself offers against a copy of the weights for each
function. The servers are processes of their own, which take turns on the card, and they are
trusted: each can write to the weights that all use.

Each server has an equal part of what the card has beside the weights. The size of its KV cache is
given, because vLLM otherwise measures free memory as it starts, which fails beside others that
start too. A server that does not find the weights fails instead of loading a copy.

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
from systems.vllm import QUIET, VllmDedicated, card_bytes

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
        self._weights: Mapping[str, int] = {}
        self._holders: dict[tuple[str, str], ServerPlan] = {}
        """The processes that hold weights, by backbone and device."""
        self._mapped: dict[str, tuple[str, str]] = {}
        """What a server maps, by its name."""

    def servers(self, deployment: Deployment) -> Sequence[ServerPlan]:
        device = deployment.devices[0]
        if device.kind == "cpu":
            raise DeploymentError(
                f"vllm-shared: weights are shared on a card; the device is {device.name}"
            )
        self._weights = {
            backbone: plan_layout(path, deployment.dtype).nbytes
            for backbone, path in deployment.backbones.items()
        }
        self._holders, self._mapped = {}, {}
        return super().servers(deployment)

    def _plan(self, path: Path, deployment: Deployment, placed: Placed, port: int) -> ServerPlan:
        plan = super()._plan(path, deployment, placed, port)
        key = placed.functions[0].backbone, placed.device.name
        self._mapped[plan.name] = key
        self._holders[key] = self._holder(path, deployment, placed)
        own = self._own_bytes(placed)
        if own <= _WORK_BYTES:
            raise DeploymentError(
                f"vllm-shared: {placed.beside} servers on {placed.device.name} have"
                f" {own / _GIB:.1f} GiB each beside the weights; each needs more than"
                f" {_WORK_BYTES / _GIB:.0f} GiB"
            )
        kv_bytes = str(own - _WORK_BYTES)
        arguments = ("--load-format", "ipc_cache", "--kv-cache-memory-bytes", kv_bytes)
        return replace(plan, command=(*plan.command, *arguments))

    def _holder(self, path: Path, deployment: Deployment, placed: Placed) -> ServerPlan:
        backbone = placed.functions[0].backbone
        model, dtype = deployment.backbones[backbone], self._options.dtype or deployment.dtype
        return ServerPlan(
            name=f"weights-of-{backbone}-{index(placed.device.name)}",
            command=(str(path), "preload", "--model", str(model), "--dtype", dtype),
            base_url="",
            models={},
            threads=0,
            environment={**QUIET, **environment(placed.device)},
            device=None,
        )

    def _own_bytes(self, placed: Placed) -> int:
        """Return what a server has on its card beside the weights."""
        held = sum(self._weights.values()) + len(self._weights) * _HOLDER_BYTES
        usable = self._options.of_card(placed.device) * card_bytes(placed.device)
        return round((usable - held) / placed.beside)

    def _utilization(self, placed: Placed) -> float:
        """vLLM counts the weights that it maps as its own."""
        mine = self._own_bytes(placed) + self._weights[placed.functions[0].backbone]
        return round(mine / card_bytes(placed.device), 4)

    def _start(self, folder: Path) -> None:
        """Start the processes that hold weights, then, when they do, the servers."""
        # Short names: the path of a Unix socket may have 107 characters.
        sockets = {key: folder / str(number) for number, key in enumerate(self._holders)}
        for key, plan in self._holders.items():
            command = (*plan.command, "--weight-cache-socket-dir", str(sockets[key]))
            log = folder / f"{plan.name}.log"
            holder = ServerProcess(plan.name, command, plan.environment, log)
            self._servers.append((plan, holder))
        for where, (_, holder) in zip(sockets.values(), self._servers, strict=True):
            holder.wait_until(partial(_listens, where), self.start_timeout_s)
        self._plans = [_mapping(plan, sockets[self._mapped[plan.name]]) for plan in self._plans]
        super()._start(folder)


def _listens(sockets: Path) -> bool:
    """vLLM makes the socket when it holds the weights."""
    return any(sockets.glob("*.sock"))


def _mapping(plan: ServerPlan, sockets: Path) -> ServerPlan:
    where = json.dumps({"socket_dir": str(sockets), "fallback": False})
    return replace(plan, command=(*plan.command, "--model-loader-extra-config", where))
