"""What a controller may ask of its world. Each is carried out live or in virtual time."""

from __future__ import annotations

from dataclasses import dataclass

from .artifacts import Artifact, CopyKey, Timer
from .cluster_spec import HOST


@dataclass(frozen=True, slots=True)
class StartTemplate:
    """Start the process that imports the libraries once and that a host's instances are forked
    from."""

    host: str = HOST


@dataclass(frozen=True, slots=True)
class StartInstance:
    """Start a process for ``function`` on ``device``, by fork of the template or from nothing."""

    instance: int
    function: str
    device: str
    forked: bool


@dataclass(frozen=True, slots=True)
class StopInstance:
    instance: int


@dataclass(frozen=True, slots=True)
class LoadArtifact:
    """Put an artifact in place on an instance; a backbone is read into ``copy``, or mapped
    from it where it is shared."""

    instance: int
    artifact: Artifact
    copy: CopyKey | None = None


@dataclass(frozen=True, slots=True)
class OffloadArtifacts:
    """Give these back, the last loaded first; libraries and the process stay."""

    instance: int
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True)
class LoadBackbone:
    """Read a backbone into a copy that the instances of its device share. ``load`` is this one
    loading: a copy that was dropped may be loaded again while the first loader still speaks."""

    copy: CopyKey
    load: int


@dataclass(frozen=True, slots=True)
class DropBackbone:
    """Free a shared copy that no instance maps, and end the loading of it."""

    copy: CopyKey


@dataclass(frozen=True, slots=True)
class RunBatch:
    """Prefill these requests together; they then decode beside those already running."""

    instance: int
    batch: int
    requests: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Stop generating for a request that nobody waits for."""

    instance: int
    request: int


@dataclass(frozen=True, slots=True)
class FailRequest:
    """Answer a request with an error; ``status`` is the HTTP status. ``retry_after_ns``: how long
    from now another try may be worth it."""

    request: int
    status: int
    reason: str
    retry_after_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire ``timer`` at the absolute time ``at_ns``."""

    timer: Timer
    at_ns: int


Action = (
    StartTemplate
    | StartInstance
    | StopInstance
    | LoadArtifact
    | OffloadArtifacts
    | LoadBackbone
    | DropBackbone
    | RunBatch
    | CancelRequest
    | FailRequest
    | SetTimer
)
