"""What must be in place before a function can answer (the paper's *artifacts*), and where."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Artifact(enum.StrEnum):
    """In order of precedence: each needs all those before it on the same instance."""

    LIBRARIES = "libraries"
    BACKBONE = "backbone"
    ADAPTER = "adapter"
    KERNELS = "kernels"


PRECEDENCE = tuple(Artifact)

Residency = frozenset[Artifact]
"""What of an instance is in place; closed under precedence."""

GONE: Residency = frozenset()
DORMANT: Residency = frozenset({Artifact.LIBRARIES})
"""A container: its process lives, nothing of it is on a device."""
PARKED: Residency = DORMANT | {Artifact.BACKBONE, Artifact.ADAPTER}
"""Weights and adapter stay on the device; kernels, workspaces and KV cache were given back."""
AWAKE: Residency = frozenset(Artifact)


class CopyKey(NamedTuple):
    """One resident copy of a backbone: shared by a device's instances, or one instance's own."""

    backbone: str
    device: str
    instance: int | None = None

    @property
    def shared(self) -> bool:
        return self.instance is None


class Release(NamedTuple):
    """The time that an instance has to let go of a request that was cancelled in ``batch``."""

    instance: int
    request: int
    batch: int


Timer = int | CopyKey | Release | str
"""The keep-alive of an instance (by id) or of a shared copy; the end of the time to let go of a
request; the expiry of what a device's batching holds back (by the device's id)."""
