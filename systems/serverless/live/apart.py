"""Checks that deployed directories are not nested: an instance may read all below its own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from systems.errors import DeploymentError
from systems.interface import Deployment


def check_apart(deployment: Deployment) -> None:
    """Raise ``DeploymentError`` if the directory of a backbone or adapter is, or is below, that of
    another, with links resolved. Functions may share an adapter, and backbones a checkpoint."""
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
    """Return the directories of all deployed backbones and adapters."""
    return [*deployment.backbones.values(), *(path for _, path in _adapters(deployment))]


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _adapters(deployment: Deployment) -> Iterable[tuple[str, Path]]:
    return [(each.id, each.adapter) for each in deployment.functions if each.adapter is not None]


def _nested(inner: str, path: Path, outer: str, parent: Path) -> DeploymentError:
    return DeploymentError(
        f"{inner}: {path} lies in {parent}, which is {outer}, whose instances could read it;"
        " move it to a separate folder"
    )
