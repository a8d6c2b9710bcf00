"""The deployment of one backbone, as its front and its replicas are told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from systems.engine.adapter_files import check_values, inspect_adapter
from systems.engine.checkpoint import BackboneLayout, plan_layout
from systems.interface import Deployment, Function


@dataclass(frozen=True)
class BackboneDeployment:
    """``functions`` of one ``backbone``, the bare one under the backbone's own name among them."""

    deployment: Deployment
    backbone: str
    layout: BackboneLayout
    functions: Mapping[str, Function]
    targets: frozenset[str] = field(default=frozenset())
    """Projections that any of the adapters changes."""
    rank: int = 1
    """The largest of the adapters'."""

    @property
    def adapters(self) -> tuple[str, ...]:
        """Functions that have one: an adapter goes by its function's name."""
        return tuple(name for name, each in self.functions.items() if each.adapter)


def make_deck(deployment: Deployment, backbone: str) -> BackboneDeployment:
    """``CheckpointError`` or ``AdapterError`` where a file cannot be served. One that computes in
    numbers that are none would do so in every batch, and merged, to every function."""
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
