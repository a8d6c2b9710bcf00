"""The actions that a controller requests, executed live or in virtual time."""

from __future__ import annotations

from dataclasses import dataclass

from .artifacts import Artifact, CopyKey, Timer
from .cluster_spec import HOST


@dataclass(frozen=True, slots=True)
class StartTemplate:
    """Start the template of a host: it imports the libraries, and instances are forked from it."""

    host: str = HOST


@dataclass(frozen=True, slots=True)
class StartInstance:
    """Start a process for ``group`` on ``device``: a fork of the template, or a new process; or the
    process of the instance ``takes``, which stops and whose artifacts are released. If that process
    has ended, a new one."""

    instance: int
    group: str
    device: str
    forked: bool
    takes: int | None = None


@dataclass(frozen=True, slots=True)
class StopInstance:
    instance: int


@dataclass(frozen=True, slots=True)
class LoadArtifact:
    """Load an artifact on an instance. A backbone is read into ``copy``, or mapped from it if it is
    shared."""

    instance: int
    artifact: Artifact
    copy: CopyKey | None = None


@dataclass(frozen=True, slots=True)
class OffloadArtifacts:
    """Release the artifacts, the last loaded first; libraries and the process stay."""

    instance: int
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True)
class PrepareAdapter:
    """Parse the adapter of ``function``, of a group that shares instances, into the adapter tier of
    ``host`` before an instance needs it. No event follows; a failure shows when it is loaded."""

    host: str
    function: str


@dataclass(frozen=True, slots=True)
class LoadAdapter:
    """Load the adapter of ``function`` into a free place of an instance that serves a group."""

    instance: int
    function: str


@dataclass(frozen=True, slots=True)
class DropAdapter:
    """Free the place of an adapter that no running request uses. Done before any later action of
    the instance; no event follows."""

    instance: int
    function: str


@dataclass(frozen=True, slots=True)
class LoadBackbone:
    """Read a backbone into a copy that the instances of its device share. ``load`` identifies the
    loading: a dropped copy may be loaded again before the events of its first loading end."""

    copy: CopyKey
    load: int


@dataclass(frozen=True, slots=True)
class CopyBackbone:
    """As ``LoadBackbone``, but copy ``source``, a copy on another device of the same host, as soon
    as it is loaded. Read the checkpoint if it never is, or if the devices cannot reach each
    other."""

    copy: CopyKey
    load: int
    source: CopyKey


@dataclass(frozen=True, slots=True)
class DropBackbone:
    """Free a shared copy that no instance maps, and end its loading."""

    copy: CopyKey


@dataclass(frozen=True, slots=True)
class RunBatch:
    """Prefill the requests together; then decode them with those that already run. If ``batch`` was
    sent before and has not begun, they are more of it."""

    instance: int
    batch: int
    requests: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PauseDecoding:
    """Decode no further until ``ResumeDecoding``, but for ``most_ns`` at most. Prompts are computed
    meanwhile. No event follows."""

    instance: int
    most_ns: int


@dataclass(frozen=True, slots=True)
class ResumeDecoding:
    instance: int


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Stop generating for a request whose client no longer waits."""

    instance: int
    request: int


@dataclass(frozen=True, slots=True)
class FailRequest:
    """Answer a request with an error. ``status``: the HTTP status; ``retry_after_ns``: after which
    time from now a retry may succeed."""

    request: int
    status: int
    reason: str
    retry_after_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire ``timer`` at the absolute time ``at_ns``, and not at the time that was set before."""

    timer: Timer
    at_ns: int


Action = (
    StartTemplate
    | StartInstance
    | StopInstance
    | LoadArtifact
    | OffloadArtifacts
    | PrepareAdapter
    | LoadAdapter
    | DropAdapter
    | LoadBackbone
    | CopyBackbone
    | DropBackbone
    | RunBatch
    | PauseDecoding
    | ResumeDecoding
    | CancelRequest
    | FailRequest
    | SetTimer
)
