"""The events that a controller receives. Their time is the ``now_ns`` given to ``handle``.

Events of an instance or loader name it. The controller ignores those that it did not request.
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
    """The client disconnected, or its request timed out."""

    request: int


@dataclass(frozen=True, slots=True)
class Deployed:
    """The deployment is complete; no request has arrived yet."""


@dataclass(frozen=True, slots=True)
class HostJoined:
    """A machine with these devices joined; they are empty and used from now on."""

    devices: tuple[DeviceSpec, ...]


@dataclass(frozen=True, slots=True)
class HostLeft:
    """A machine is gone, with its template, copies, instances and their requests."""

    host: str
    reason: str


@dataclass(frozen=True, slots=True)
class TemplateReady:
    """The template of the host has imported the libraries."""

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
    """``artifact`` is in place on the instance. ``prewarmed``: its process had it from the warm
    pool, so this took less than a loading."""

    instance: int
    artifact: Artifact
    prewarmed: bool = False


@dataclass(frozen=True, slots=True)
class ArtifactsOffloaded:
    """The instance released the artifacts that it was told to."""

    instance: int


@dataclass(frozen=True, slots=True)
class AdapterLoaded:
    """The adapter of ``function`` is in a place of the instance."""

    instance: int
    function: str


@dataclass(frozen=True, slots=True)
class AdapterFailed:
    """The adapter of ``function`` cannot be loaded."""

    instance: int
    function: str
    reason: str


@dataclass(frozen=True, slots=True)
class AdapterTierResized:
    """The host holds ``nbytes`` of parsed adapters in memory that no device counts."""

    nbytes: int
    host: str = HOST


@dataclass(frozen=True, slots=True)
class BackboneLoaded:
    """The loading ``load`` of a shared copy is complete; the copy can be mapped."""

    copy: CopyKey
    load: int


@dataclass(frozen=True, slots=True)
class BackboneFailed:
    copy: CopyKey
    load: int
    reason: str


@dataclass(frozen=True, slots=True)
class PrewarmedReady:
    """So many prewarmed processes of a shared copy are ready to be taken over. ``took_ns``: how
    long it took to make the one that became ready, without the import of libraries; 0 if none
    did."""

    copy: CopyKey
    ready: int
    took_ns: int = 0


@dataclass(frozen=True, slots=True)
class BatchBegun:
    """The instance ended the decode step after which it begins the batch."""

    instance: int
    batch: int


@dataclass(frozen=True, slots=True)
class BatchPrefilled:
    """Every request of the batch has its first token; decoding continues. ``computed_ns``: how long
    the instance computed its prompts, without the steps of running requests between them."""

    instance: int
    batch: int
    computed_ns: int


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """``instance`` finished a request: it has all its tokens, or was cancelled."""

    instance: int
    request: int


@dataclass(frozen=True, slots=True)
class InstanceStopped:
    """A process that was told to stop is gone, and its memory is free."""

    instance: int


@dataclass(frozen=True, slots=True)
class ProcessDied:
    """A process ended on its own; its memory is free and its running requests are lost."""

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
    | AdapterLoaded
    | AdapterFailed
    | AdapterTierResized
    | BackboneLoaded
    | BackboneFailed
    | PrewarmedReady
    | BatchBegun
    | BatchPrefilled
    | RequestFinished
    | InstanceStopped
    | ProcessDied
    | TimerFired
)
