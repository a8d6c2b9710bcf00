"""Prepares a deployment for the platform: sizes for the controller, settings for the processes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from systems.engine.adapter_files import AdapterFiles, inspect_adapter
from systems.engine.checkpoint import BackboneLayout, plan_layout
from systems.engine.dtypes import compute_dtype
from systems.engine.packed_size import packed_bytes
from systems.errors import DeploymentError
from systems.grouping import group_id, groups
from systems.interface import Deployment, Function
from systems.runtime.sandbox import confine

from ..core.cluster_spec import ClusterSpec
from ..options import Options
from ..sizing import FunctionSize, MachineSize, make_cluster_spec
from . import containers
from .apart import check_apart, folders
from .messages import Configure, SlotShape


@dataclass(frozen=True)
class Plan:
    """A checked deployment: every checkpoint and adapter was inspected."""

    deployment: Deployment
    options: Options
    layouts: Mapping[str, BackboneLayout]
    adapters: Mapping[str, AdapterFiles]
    functions: Mapping[str, Function]
    cluster: ClusterSpec

    @property
    def device(self) -> str:
        """The kind of all devices of the deployment: ``cpu`` or ``cuda``."""
        return self.deployment.devices[0].kind

    @property
    def threads(self) -> int:
        return self.deployment.instance_threads(len(os.sched_getaffinity(0)))

    def model_dir(self, backbone: str) -> Path:
        return self.deployment.backbones[backbone]

    def layout(self, backbone: str) -> str:
        return self.layouts[backbone].to_json()

    def configuration(self, group_id: str) -> Configure:
        """Return the first message to an instance of the group."""
        group = self.cluster.groups[group_id]
        files = self.adapters.get(group.function) if group.function else None
        return Configure(
            group=group.id,
            model_dir=str(self.model_dir(group.backbone)),
            adapter=str(self.functions[group.functions[0]].adapter) if files else None,
            stamps=files.stamps if files else (),
            device=self.device,
            threads=self.threads,
            memory_bytes=max(each.memory_bytes for each in self.deployment.devices),
            max_batch_size=group.batch_limit,
            max_context_tokens=self.deployment.limits.max_context_tokens,
            piece_tokens=self.options.piece_tokens(self.device),
            mixed_passes=self.options.mixed_passes,
            slot=self.places_shapes[group.id] if group.places else None,
            places=group.places,
            later=containers.readable(self.options, self.deployment),
        )

    @cached_property
    def places_shapes(self) -> Mapping[str, SlotShape]:
        """By group: the shape of places that any adapter of its functions fits."""
        return {
            group.id: _places_shape(self.adapters[f] for f in group.functions if f in self.adapters)
            for group in self.cluster.groups.values()
        }


def make_plan(deployment: Deployment, *, forks: bool) -> Plan:
    """Inspect every file of the deployment and compute its sizes. ``forks``: whether instances are
    forked from a template. Raise ``CheckpointError``, ``AdapterError``, or ``DeploymentError`` if a
    function does not fit its device or could read another's files."""
    options = Options.model_validate(dict(deployment.options))
    containers.check(options)
    _check_regime(options)
    check_apart(deployment)
    confine.check_files(deployment.devices[0].kind, folders(deployment))
    layouts = {
        name: plan_layout(path, deployment.dtype) for name, path in deployment.backbones.items()
    }
    bare = [Function(id=name, backbone=name) for name in deployment.backbones]
    functions = {function.id: function for function in (*deployment.functions, *bare)}
    adapters = {
        function.id: inspect_adapter(function.adapter, layouts[function.backbone].config)
        for function in deployment.functions
        if function.adapter is not None
    }
    for function_id, files in adapters.items():
        _check_rank(function_id, files, options.max_adapter_rank)
    cluster = _cluster_spec(deployment, options, layouts, adapters, functions, forks)
    _check_memory(cluster)
    return Plan(deployment, options, layouts, adapters, functions, cluster)


def _check_regime(options: Options) -> None:
    if options.regime != "continuous":
        raise DeploymentError(
            f"regime={options.regime}: simulated only, live engines batch continuously; set"
            " regime=continuous or run with --simulated"
        )


def _check_rank(function: str, files: AdapterFiles, most: int | None) -> None:
    if most is not None and files.rank > most:
        raise DeploymentError(
            f"{function}: its adapter needs max_adapter_rank {files.rank}; it is {most} in this"
            " deployment"
        )


def _places_shape(adapters: Iterable[AdapterFiles]) -> SlotShape:
    found = list(adapters)
    targets = {target for files in found for target in files.targets} or {"q_proj"}
    return SlotShape(max((files.rank for files in found), default=1), tuple(sorted(targets)))


def without_devices(plan: Plan) -> Plan:
    """Return the plan for a platform whose nodes provide the devices."""
    return replace(plan, cluster=replace(plan.cluster, devices={}))


def _cluster_spec(
    deployment: Deployment,
    options: Options,
    layouts: Mapping[str, BackboneLayout],
    adapters: Mapping[str, AdapterFiles],
    functions: Mapping[str, Function],
    forks: bool,
) -> ClusterSpec:
    kind = deployment.devices[0].kind
    shapes = {
        group: _places_shape(adapters[each.id] for each in members if each.id in adapters)
        for group, members in groups(functions.values(), deployment.isolation).items()
        if len(members) > 1
    }

    def adapter_bytes(function: Function) -> int:
        layout, files = layouts[function.backbone], adapters.get(function.id)
        if files is None:
            return 0
        shape = shapes.get(group_id(function, deployment.isolation))
        if shape is None and kind == "cpu":
            return files.nbytes(layout.dtype)
        rank, targets = (shape.rank, shape.targets) if shape else (files.rank, files.targets)
        return packed_bytes(layout.config, rank, targets, compute_dtype(layout.dtype, kind))

    def size(function: Function) -> FunctionSize:
        layout = layouts[function.backbone]
        return FunctionSize(
            adapter_bytes=adapter_bytes(function),
            kv_bytes_per_token=layout.config.kv_bytes_per_token(layout.dtype, kind),
        )

    return make_cluster_spec(
        deployment,
        options,
        _machine(deployment, options, forks=forks),
        {name: layout.nbytes for name, layout in layouts.items()},
        {function: size(function) for function in functions.values()},
        forks=forks,
    )


def _machine(deployment: Deployment, options: Options, *, forks: bool) -> MachineSize:
    """On a CPU device, awake processes and the template count as device memory, not host memory."""
    on_card = deployment.devices[0].kind == "cuda"
    process_bytes = options.forked_context_bytes if forks else options.context_bytes
    return MachineSize(
        slots=_slots(deployment),
        kv_slots=on_card,
        context_bytes=options.cuda_context_bytes if on_card else process_bytes,
        bare_bytes=options.cuda_bare_bytes if on_card else 0,
        host_bytes=process_bytes if on_card else 0,
        dormant_bytes=process_bytes,
        template_bytes=0 if on_card else options.template_bytes,
        template_host_bytes=options.template_bytes if on_card else 0,
        reserved_bytes=options.auditor_bytes if on_card and options.audit_s else 0,
        peer_access=on_card,
    )


def _slots(deployment: Deployment) -> int:
    """Return the batches computed at once at full speed: on the CPU as many as the cores allow,
    which all devices share; a GPU shares its time among its batches."""
    if deployment.devices[0].kind == "cuda":
        return 1
    cores = len(os.sched_getaffinity(0))
    return max(1, cores // deployment.instance_threads(cores))


def _check_memory(cluster: ClusterSpec) -> None:
    """Check that each function fits each device alone; several functions take turns."""
    for group in cluster.groups.values():
        kv = group.kv_bytes(cluster.settings.max_context_tokens)
        backbone = cluster.backbones[group.backbone]
        own = group.adapter_bytes + group.places_bytes + group.context_bytes + kv
        templates = cluster.settings.template_bytes + cluster.settings.standby_bytes
        need = backbone.bytes + backbone.pool_bytes + own + templates
        for device in cluster.devices.values():
            if need > device.memory_bytes:
                raise DeploymentError(
                    f"device {device.id}: {device.memory_bytes / 2**30:.2f} GiB cannot hold"
                    f" {group.label}, which needs {need / 2**30:.2f} GiB alone;"
                    " give it more memory or a shorter max_context_tokens"
                )
