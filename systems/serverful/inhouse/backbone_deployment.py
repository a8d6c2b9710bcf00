"""The deployment of one backbone, which its front and its replicas are configured from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from systems.engine.adapter_files import check_values, inspect_adapter
from systems.engine.checkpoint import BackboneLayout, plan_layout
from systems.interface import Deployment, Function


@dataclass(frozen=True)
class BackboneDeployment:
    """``functions`` of one ``backbone``. They include the bare backbone under its own name."""

    deployment: Deployment
    backbone: str
    layout: BackboneLayout
    functions: Mapping[str, Function]
    targets: frozenset[str] = field(default=frozenset())
    """Projections that at least one adapter changes."""
    rank: int = 1
    """The largest rank of the adapters."""

    @property
    def adapters(self) -> tuple[str, ...]:
        """The functions with an adapter; an adapter has its function's name."""
        return tuple(name for name, each in self.functions.items() if each.adapter)


def make_deck(deployment: Deployment, backbone: str) -> BackboneDeployment:
    """Raise ``CheckpointError`` or ``AdapterError`` if a file cannot be served. Values are checked,
    because NaN or infinity from one adapter would spread to its whole batch and, when merged, to
    every function."""
    layout = plan_layout(deployment.backbones[backbone], deployment.dtype)
    functions = {each.id: each for each in deployment.functions if each.backbone == backbone}
    files = [inspect_adapter(f.adapter, layout.config) for f in functions.values() if f.adapter]
    for each in files:
        check_values(each, deployment.dtype, deployment.devices[0].kind)
    return BackboneDeployment(
        deployment,
        backbone,
        layout,
        {**functions, backbone: Function(id=backbone, backbone=backbone)},
        frozenset(target for each in files for target in each.targets),
        max((each.rank for each in files), default=1),
    )
