"""What must be loaded before a function can answer (the paper's *artifacts*), and where."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Artifact(enum.StrEnum):
    """In order of precedence: each requires all those before it on the same instance."""

    LIBRARIES = "libraries"
    BACKBONE = "backbone"
    ADAPTER = "adapter"
    KERNELS = "kernels"


PRECEDENCE = tuple(Artifact)
LIBRARIES, BACKBONE, ADAPTER, KERNELS = PRECEDENCE
"""The same by name: Python 3.11 takes ten times as long to find a member in its class."""
SHARED = (LIBRARIES, BACKBONE, KERNELS)
"""The same for an instance of several functions, whose adapters come and go while it serves."""

Residency = frozenset[Artifact]
"""The artifacts in place on an instance; closed under precedence."""

GONE: Residency = frozenset()
DORMANT: Residency = frozenset({LIBRARIES})
"""A container: its process lives and holds nothing on a device."""
PARKED: Residency = DORMANT | {BACKBONE, ADAPTER}
"""Weights and adapter are on the device; kernels, workspaces and KV cache were released."""
AWAKE: Residency = frozenset(Artifact)


class CopyKey(NamedTuple):
    """A copy of a backbone: shared by the instances of a device, or of one instance only."""

    backbone: str
    device: str
    instance: int | None = None

    @property
    def shared(self) -> bool:
        return self.instance is None


class Places(NamedTuple):
    """Names the timer to look again for a place of ``instance`` that an adapter may be put in."""

    instance: int


class Release(NamedTuple):
    """Names the timer for an instance to release a request that was cancelled in ``batch``."""

    instance: int
    request: int
    batch: int


Timer = int | CopyKey | Release | Places | str
"""What a timer is for: the keep-alive of an instance (its id) or of a shared copy, the release of a
request, the places of an instance, or the time until which a device's batching holds requests (the
device's id)."""
