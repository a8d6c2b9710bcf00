"""Whether what is deployed lies apart: an instance may read all that is below its own folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from systems.errors import DeploymentError
from systems.interface import Deployment


def check_apart(deployment: Deployment) -> None:
    """``DeploymentError`` where the folder of a backbone or an adapter is, or lies below, that of
    another, by whatever links. Two functions may have one adapter, two backbones one checkpoint."""
    backbones = {_real(path): f"backbone {name}" for name, path in deployment.backbones.items()}
    adapters = {_real(path): f"adapter of {name}" for name, path in _adapters(deployment)}
    for path in backbones.keys() & adapters.keys():
        raise _nested(adapters[path], path, backbones[path], path)
    folders = {**backbones, **adapters}
    for path, what in folders.items():
        for parent in path.parents:
            if parent in folders:
                raise _nested(what, path, folders[parent], parent)


def folders(deployment: Deployment) -> Iterable[Path]:
    """Of all that is deployed."""
    return [*deployment.backbones.values(), *(path for _, path in _adapters(deployment))]


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _adapters(deployment: Deployment) -> Iterable[tuple[str, Path]]:
    return [(each.id, each.adapter) for each in deployment.functions if each.adapter is not None]


def _nested(inner: str, path: Path, outer: str, parent: Path) -> DeploymentError:
    return DeploymentError(
        f"{inner}: {path} lies in {parent}, which is {outer}, so that others could read it;"
        " move it to a folder of its own"
    )
