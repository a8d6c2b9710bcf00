"""From what an experiment asks for to a deployment: models found or made, functions named."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systems.interface import Deployment, Device, Function

from .experiment import DeploymentChoice, SystemChoice

if TYPE_CHECKING:
    from workloads.trace import Workload


def deployment_for(
    choice: DeploymentChoice, system: SystemChoice, functions: Sequence[str], **more: Any
) -> Deployment:
    """Functions of these ids, each with an adapter of its own over one backbone. Models that are
    missing are made. ``more`` goes to the deployment as it is (host, port)."""
    from systems.models import ensure_adapters, ensure_backbone

    backbone = ensure_backbone(choice.backbone)
    if choice.adapters:
        adapters = dict(zip(functions, cycle(choice.adapters), strict=False))
    else:
        adapters = ensure_adapters(backbone, list(functions), rank=choice.adapter_rank)
    memory = round(choice.device_memory_gib * 2**30)
    return Deployment(
        functions=tuple(_function(id_, adapters[id_], choice) for id_ in functions),
        backbones={_name(choice): backbone},
        devices=tuple(
            Device(name=f"cpu:{index}", memory_bytes=memory) for index in range(choice.devices)
        ),
        limits=choice.limits,
        dtype=choice.dtype,
        options=system.options,
        **more,
    )


def function_ids(workload: Workload) -> list[str]:
    return [function.id for function in workload.functions]


def _function(id_: str, adapter: Path, choice: DeploymentChoice) -> Function:
    return Function(id=id_, backbone=_name(choice), adapter=adapter, slo_ttft_s=choice.slo_ttft_s)


def _name(choice: DeploymentChoice) -> str:
    """A backbone goes by its preset's name, or by its directory's."""
    return Path(choice.backbone).name
