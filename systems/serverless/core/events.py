"""What may happen to a controller. Times are the ``now`` that ``handle`` is called with.

What an instance or a loader says carries who says it, and counts only for what that one was asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from .artifacts import Artifact, CopyKey, Timer
from .cluster_spec import HOST, DeviceSpec


@dataclass(frozen=True, slots=True)
class RequestArrived:
    request: int
    function: str
    prompt_tokens: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class RequestCancelled:
    """The client went away, or its time is up."""

    request: int


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is deployed is complete; nobody has called it yet."""


@dataclass(frozen=True, slots=True)
class HostJoined:
    """A machine came up with these devices, nothing on them; from now on they are used."""

    devices: tuple[DeviceSpec, ...]


@dataclass(frozen=True, slots=True)
class HostLeft:
    """A machine is gone, and with it its template, its copies, its instances and what they ran."""

    host: str
    reason: str


@dataclass(frozen=True, slots=True)
class TemplateReady:
    """The process that instances are forked from holds the libraries."""

    host: str = HOST


@dataclass(frozen=True, slots=True)
class TemplateDied:
    reason: str
    host: str = HOST


@dataclass(frozen=True, slots=True)
class InstanceStarted:
    instance: int


@dataclass(frozen=True, slots=True)
class ArtifactLoaded:
    """``artifact`` is in place on the instance."""

    instance: int
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class ArtifactsOffloaded:
    """An instance gave back what it was told to."""

    instance: int


@dataclass(frozen=True, slots=True)
class BackboneLoaded:
    """A shared copy is complete on its device and can be mapped, says its loading ``load``."""

    copy: CopyKey
    load: int


@dataclass(frozen=True, slots=True)
class BackboneFailed:
    copy: CopyKey
    load: int
    reason: str


@dataclass(frozen=True, slots=True)
class BatchPrefilled:
    """Every request of the batch has its first token; decoding goes on."""

    instance: int
    batch: int


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """``instance`` is done with a request: it has all its tokens, or was told to forget it."""

    instance: int
    request: int


@dataclass(frozen=True, slots=True)
class InstanceStopped:
    """A process that was told to stop is gone, its memory with it."""

    instance: int


@dataclass(frozen=True, slots=True)
class ProcessDied:
    """A process that was not told to stop is gone, its memory and running requests with it."""

    instance: int
    reason: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    timer: Timer


Event = (
    Deployed
    | RequestArrived
    | RequestCancelled
    | HostJoined
    | HostLeft
    | TemplateReady
    | TemplateDied
    | InstanceStarted
    | ArtifactLoaded
    | ArtifactsOffloaded
    | BackboneLoaded
    | BackboneFailed
    | BatchPrefilled
    | RequestFinished
    | InstanceStopped
    | ProcessDied
    | TimerFired
)
