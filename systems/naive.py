"""What most people run first: transformers and peft behind an HTTP server, a process a function.

A call for a function without a process starts one: a new interpreter, the imports, the libraries'
own loaders of backbone and adapter. It serves one request after another and ends after the
deployment's keep-alive. Nothing is shared, pre-loaded, batched or kept. A function whose process
finds no room waits until another's has ended.

The proxy of ``systems/serverful/ondemand`` starts and ends the processes; it sees these stages:
``queue``, ``warming`` (the process starts and loads), ``prefill`` (from the call's dispatch to its
first token, with the wait for requests before it) and ``decode``.
"""

from __future__ import annotations

import os
import sys
from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from systems.engine.checkpoint import plan_layout
from systems.errors import DeploymentError
from systems.interface import Deployment, Function, SystemInfo
from systems.options import SystemOptions
from systems.serverful.cards import environment
from systems.serverful.naive.launch import Launch
from systems.serverful.ondemand.config import Config, OnDemandServer
from systems.serverful.ondemand.system import OnDemandSystem
from systems.serverful.ports import ports


class Options(SystemOptions):
    awake: PositiveInt | None = None
    """Processes at once; None: as many as fit the device."""
    process_gib: PositiveFloat | None = None
    """Device memory of a process beside its weights, set aside; None: 2 on a card, and 0.75 of the
    host memory that stands in for one."""
    turn_s: PositiveFloat = 10.0
    """How long a process that always has calls goes on while another function waits for room."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """None: the deployment's on a card; float32 on the CPU."""
    start_timeout_s: PositiveFloat = 300.0


class Naive(OnDemandSystem):
    name = "naive"
    summary = "transformers and peft, a process for each function, started by its call"

    def __init__(self) -> None:
        super().__init__()
        self._options = Options()

    def info(self) -> SystemInfo:
        from importlib.metadata import version

        versions = ", ".join(f"{name} {version(name)}" for name in ("transformers", "peft"))
        return SystemInfo(self.name, versions, {}, self._options.model_dump())

    def proxied(self, deployment: Deployment) -> Config:
        options = Options.read(deployment, self.name)
        slots = _fitting(deployment, options)
        self._options = options.model_copy(update={"awake": options.awake or slots})
        port, *free = ports(deployment, 1 + len(deployment.functions))
        limits = deployment.limits
        return Config(
            servers=tuple(
                self._server(deployment, function, each)
                for function, each in zip(deployment.functions, free, strict=True)
            ),
            host=deployment.host,
            port=port,
            device=deployment.devices[0].name,
            sleeps=False,
            start="first-call",
            slots=options.awake or slots,
            turn_s=options.turn_s,
            keep_alive_s=limits.keep_alive_s,
            request_timeout_s=limits.request_timeout_s,
            start_timeout_s=options.start_timeout_s,
            sleep_timeout_s=options.start_timeout_s,
        )

    def _server(self, deployment: Deployment, function: Function, port: int) -> OnDemandServer:
        launch = Launch(
            deployment=deployment.model_copy(update={"functions": (function,)}),
            port=port,
            dtype=_dtype(deployment, self._options),
            threads=deployment.instance_threads(len(os.sched_getaffinity(0))),
        )
        return OnDemandServer(
            name=function.id,
            command=(sys.executable, "-m", "systems.serverful.naive", launch.model_dump_json()),
            environment={
                "HF_HUB_OFFLINE": "1",
                "OMP_NUM_THREADS": str(launch.threads),
                **environment(deployment.devices[0]),
            },
            base_url=f"http://{deployment.host}:{port}",
            models=(function.id,),
            function_id=function.id,
            weights_bytes=0,
        )


def _dtype(deployment: Deployment, options: Options) -> Literal["float32", "bfloat16", "float16"]:
    kind = deployment.devices[0].kind
    return options.dtype or ("float32" if kind == "cpu" else deployment.dtype)


def _fitting(deployment: Deployment, options: Options) -> int:
    """Return how many processes fit the device. Raise ``DeploymentError`` if not even one does."""
    dtype, device = _dtype(deployment, options), deployment.devices[0]
    weights = max(plan_layout(path, dtype).nbytes for path in deployment.backbones.values())
    beside = options.process_gib or (2.0 if device.kind == "cuda" else 0.75)
    each = weights + round(beside * 2**30)
    if each > device.memory_bytes:
        raise DeploymentError(
            f"naive: a process takes {each / 2**30:.1f} GiB, {device.name} has"
            f" {device.memory_bytes / 2**30:.1f} GiB"
        )
    return device.memory_bytes // each
