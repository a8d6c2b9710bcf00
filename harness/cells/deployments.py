"""Makes deployments from an experiment's choices: finds or creates models, assigns functions."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.choices import DeploymentChoice, SystemChoice
from systems.interface import Deployment, Device, Function, FunctionName, ServingSystem

from .isolation import isolation_of, tenants_of

if TYPE_CHECKING:
    from workloads.trace import Workload


def deployment_for(
    choice: DeploymentChoice, system: SystemChoice, functions: Sequence[str], **more: Any
) -> Deployment:
    """Deploy a function per id, each with its own adapter on one backbone. Missing models are
    created. ``more`` is passed to the deployment unchanged (host, port)."""
    from systems.models import snapshot

    _check_names(functions)
    more = {"cluster": choice.cluster, "isolation": isolation_of(choice, system), **more}
    kind = device_kind(choice)  # Before any model is made.
    paths = {_name(each): found_or_made(each) for each in backbones_of(choice)}
    owners = dealt(choice, functions)
    adapters: dict[str, Path] = {}
    if isinstance(choice.adapters, tuple) and choice.adapters:
        own = [snapshot(path) for path in choice.adapters]
        adapters = dict(zip(functions, cycle(own), strict=False))
    else:
        for name, path in paths.items():
            mine = [id_ for id_ in functions if owners[id_] == name]
            adapters |= _made(choice, path, mine)
    return _deployment(choice, system, owners, paths, adapters, kind, **more)


def _made(choice: DeploymentChoice, backbone: Path, functions: Sequence[str]) -> dict[str, Path]:
    """Return an adapter for each of the functions of ``backbone``: skills in turn, or seeded."""
    from systems.models import ensure_adapters, ensure_skills

    if choice.adapters == "skills":
        return dict(zip(functions, cycle(ensure_skills(backbone).values()), strict=False))
    return ensure_adapters(backbone, functions, rank=choice.adapter_rank)


def found_or_made(backbone: str) -> Path:
    """Return the directory of ``backbone``, created if missing. Before that, a line on standard
    error states how much is written and where. Raises what ``ensure_backbone`` does."""
    from systems.models import ensure_backbone, presets

    preset = presets().get(backbone)
    if preset is not None and not preset.made:
        print(
            f"making {backbone}, once: {preset.nbytes / 1e9:.3g} GB in {preset.path}"
            " (SLBENCH_CACHE names another place)",
            file=sys.stderr,
        )
    return ensure_backbone(backbone)


def simulated_deployment(
    choice: DeploymentChoice, system: SystemChoice, functions: Sequence[str], kind: str
) -> Deployment:
    """Deploy on devices of ``kind`` that need not exist, with models whose weights need not exist:
    a path is a preset's name, or a directory with a ``config.json``."""
    _check_names(functions)
    owners = dealt(choice, functions)
    used = set(owners.values())
    paths = {_name(each): Path(each) for each in backbones_of(choice) if _name(each) in used}
    adapters = {id_: Path(id_) for id_ in functions}
    isolation = isolation_of(choice, system)
    return _deployment(choice, system, owners, paths, adapters, kind, isolation=isolation)


def _deployment(
    choice: DeploymentChoice,
    system: SystemChoice,
    owners: Mapping[str, str],
    paths: Mapping[str, Path],
    adapters: Mapping[str, Path],
    kind: str,
    **more: Any,
) -> Deployment:
    tenants = tenants_of(choice, system, list(owners))
    return Deployment(
        functions=tuple(
            Function(
                id=id_,
                backbone=backbone,
                adapter=adapters[id_],
                slo_ttft_s=choice.slo_of(backbone),
                slo_tpot_s=choice.slo_tpot_s,
                slo_e2e_s=choice.slo_e2e_s,
                tenant=tenants.get(id_),
            )
            for id_, backbone in owners.items()
        ),
        backbones=paths,
        devices=tuple(
            Device(name=f"{kind}:{index}", memory_bytes=memory)
            for index, memory in enumerate(choice.memory_bytes)
        ),
        limits=choice.limits,
        dtype=choice.dtype,
        options=system.options,
        policies=system.policies,
        **more,
    )


def _check_names(functions: Sequence[str]) -> None:
    """Raise ``HarnessError`` for the first name that a function cannot have: adapters are made in
    folders of these names."""
    from pydantic import TypeAdapter, ValidationError

    from ..errors import HarnessError

    wanted: TypeAdapter[str] = TypeAdapter(FunctionName)
    for each in functions:
        try:
            wanted.validate_python(each)
        except ValidationError as error:
            raise HarnessError(
                f"function {each!r}: a name has letters, digits, dots, hyphens and underscores, and"
                " is not of dots alone"
            ) from error


def device_kind(choice: DeploymentChoice) -> str:
    """Return the kind of device: the chosen one, or for "auto" the one of this machine. Raise
    ``HarnessError`` if this machine has too few."""
    from harness.errors import HarnessError

    here = cards()
    if choice.device == "cuda" and here < choice.devices:
        raise HarnessError(
            f"device cuda: {choice.devices} asked for, {here} here; a simulation (slbench run"
            " --simulated) needs none"
        )
    if choice.device == "auto":
        return "cuda" if here >= choice.devices else "cpu"
    return choice.device


def cards() -> int:
    """Count the NVIDIA cards of this machine."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def backbones_of(choice: DeploymentChoice) -> tuple[str, ...]:
    """Return the deployed backbones: presets' names or directories."""
    return choice.backbones or (choice.backbone,)


def dealt(choice: DeploymentChoice, functions: Sequence[str]) -> dict[str, str]:
    """Assign backbones to functions in turn. Return function → backbone."""
    names = [_name(each) for each in backbones_of(choice)]
    return dict(zip(functions, cycle(names), strict=False))


def check_machines(system: type[ServingSystem], cluster: str | None) -> None:
    """Raise ``HarnessError`` for a cluster with a system that runs on one machine only."""
    from harness.errors import HarnessError

    if cluster is not None and not system.clusters:
        raise HarnessError(f"--cluster {cluster}: system {system.name} runs on one machine only")


def function_ids(workload: Workload) -> list[str]:
    return [function.id for function in workload.functions]


def _name(backbone: str) -> str:
    """Return the backbone's name: its preset's, its directory's, or its repository's."""
    from systems.models import model_name

    return model_name(Path(backbone))
