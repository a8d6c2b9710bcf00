"""What is deployed, as it lies on another machine.

A node finds models where the gateway has them, by the same path; what was made from a seed is made
there as well, in that machine's own cache. It serves only what is the same as the gateway's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from systems.engine.adapter_files import AdapterFiles
from systems.errors import DeploymentError
from systems.interface import Deployment, Function
from systems.models import cache_root, ensure_backbone, presets, remake_adapter

from ..plan import Plan

_SAMPLE = 1 << 20

Prints = Mapping[str, str]
"""Digests by backbone and function."""


def here(deployment: Deployment, cache: Path) -> Deployment:
    """``deployment``, as a machine whose cache is at ``cache`` has it, with this machine's paths;
    what comes from a seed is made if need be. ``SystemsError`` where something is missing."""
    backbones = {name: _backbone(name, path, cache) for name, path in deployment.backbones.items()}
    functions = tuple(
        function.model_copy(update={"adapter": _adapter(function, backbones, cache)})
        for function in deployment.functions
    )
    return deployment.model_copy(update={"backbones": backbones, "functions": functions})


def _backbone(name: str, path: Path, cache: Path) -> Path:
    if path.is_relative_to(cache) and path.name in presets():
        return ensure_backbone(path.name)
    return _there(f"backbone {name}", path)


def _adapter(function: Function, backbones: Mapping[str, Path], cache: Path) -> Path | None:
    path = function.adapter
    if path is not None and path.is_relative_to(cache):
        return remake_adapter(path, backbones[function.backbone])
    return path and _there(f"adapter of {function.id}", path)


def _there(what: str, path: Path) -> Path:
    if not path.is_dir():
        raise DeploymentError(f"{what}: {path} is not there; copy it to the same place")
    return path


def prints(plan: Plan) -> Prints:
    """Of the layouts, and of the beginning and the end of each file of weights that no seed made:
    enough to tell one model from another, without reading all of either."""
    backbones = {
        f"backbone {name}": _digest(plan.layout(name), _files(plan.model_dir(name)))
        for name in plan.layouts
    }
    adapters = {
        f"adapter of {function}": _digest(_shape(files), _files(files.path))
        for function, files in plan.adapters.items()
    }
    return {**backbones, **adapters}


def check_same(ours: Prints, theirs: Prints) -> None:
    """``DeploymentError`` names the first that is not what the gateway has."""
    for what, digest in theirs.items():
        if ours.get(what) != digest:
            raise DeploymentError(f"{what} is not the one that the gateway has; copy that one here")


def _shape(files: AdapterFiles) -> str:
    return json.dumps([files.rank, files.scaling, files.targets, files.layers, files.elements])


def _files(folder: Path) -> Iterable[Path]:
    """Weights made from a seed may differ in the last bit from one processor to the next."""
    made = folder.resolve().is_relative_to(cache_root().resolve())
    return () if made else sorted(folder.glob("*.safetensors"))


def _digest(shape: str, files: Iterable[Path]) -> str:
    digest = hashlib.sha256(shape.encode())
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE))
            file.seek(max(0, size - _SAMPLE))
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()
