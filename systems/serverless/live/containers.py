"""Containers that pass from one function to another (option ``takeover``): the process of an idle
instance goes on as an instance of another function."""

from __future__ import annotations

from systems.errors import DeploymentError
from systems.interface import Deployment

from ..options import Options
from .apart import folders

ISOLATION_GAP = (
    "takeover: a process passes from one function to another, so it may read the files of every"
    " function, and what one left in its memory the next can read"
)


def check(options: Options) -> None:
    """Raise ``DeploymentError`` for a takeover that live processes cannot do."""
    if options.takeover == "container":
        raise DeploymentError(
            "takeover=container: live, all functions have the same libraries, which a process"
            " keeps; set takeover=libraries"
        )


def readable(options: Options, deployment: Deployment) -> tuple[str, ...]:
    """Return the folders that an instance may have to read once another function takes over its
    process: those of every function, since what a process may read can only be narrowed."""
    if options.takeover == "off":
        return ()
    return tuple(str(folder) for folder in folders(deployment))
