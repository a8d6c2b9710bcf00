"""The models of a deployment on another machine.

A node looks for each model at the same path as on the gateway's machine; it makes models that come
from a seed in its own cache. It serves only models that are the same as the gateway's.
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
    """Return ``deployment``, from a machine with its cache at ``cache``, with the paths of this
    machine. Make missing models that come from a seed. Raise ``SystemsError`` for others."""
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
        raise DeploymentError(f"{what}: {path} does not exist; copy it to the same path here")
    return path


def prints(plan: Plan) -> Prints:
    """Digest the layouts, and the first and last MiB of each weight file that does not come from a
    seed: enough to distinguish models without reading whole files."""
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
    """Raise ``DeploymentError`` for the first model that differs from the gateway's."""
    for what, digest in theirs.items():
        if ours.get(what) != digest:
            raise DeploymentError(f"{what} is not the one that the gateway has; copy that one here")


def _shape(files: AdapterFiles) -> str:
    loras = sorted((*each, lora.rank, lora.scaling) for each, lora in files.loras.items())
    return json.dumps([loras, files.elements])


def _files(folder: Path) -> Iterable[Path]:
    """Omit weights made from a seed: they may differ in the last bit between processors."""
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
