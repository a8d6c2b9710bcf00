"""What the gateway and its instances, loaders and auditors say to each other."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from systems.runtime.incoming import MOST_OF_A_MESSAGE, Incoming
from systems.runtime.messages import (
    Cancel,
    Count,
    Document,
    Failed,
    Message,
    Name,
    Nanoseconds,
    Part,
    Ping,
    Pong,
    PositiveCount,
    Request,
    RequestId,
    Started,
    StepTokens,
    Stop,
)

from ..core.artifacts import Artifact

IpcHandle = Annotated[str, Meta(max_length=128)]
"""64 bytes of a cudaIpc handle in hexadecimal; empty where there is none."""
Stamp = tuple[int, ...]


class CopySum(Part, frozen=True):
    """A shared copy's checksum, below 2^64, and when the copy was read for it."""

    checksum: Annotated[int, Meta(ge=0)]
    start_ns: Nanoseconds
    end_ns: Nanoseconds

    def __post_init__(self) -> None:
        if self.checksum >= 2**64:
            raise ValueError("checksum is not below 2^64")


# -- to an instance ---------------------------------------------------------------------------


class SlotShape(Part, frozen=True):
    """The adapter slot that an engine is built around before its adapter is known."""

    rank: PositiveCount
    targets: tuple[Name, ...]


class Configure(Message, frozen=True):
    """Tells an instance which function it serves. ``stamps`` are those of the adapter's files
    when it was deployed; ``memory_bytes`` is what the instance may take (None: unbounded);
    ``slot`` is for a prewarmed process, which has no adapter yet."""

    function: Name
    model_dir: Name
    adapter: Name | None
    stamps: tuple[Stamp, ...]
    device: Name
    threads: PositiveCount
    memory_bytes: PositiveCount | None
    max_batch_size: PositiveCount
    max_context_tokens: PositiveCount
    slot: SlotShape | None = None


class Begin(Message, frozen=True):
    """Makes a prewarmed process an instance."""


class LoadArtifact(Message, frozen=True, tag="load"):
    """Tells to load ``artifact``; ``layout`` of a backbone, and ``handle`` of a shared copy where
    no descriptor comes along."""

    artifact: Artifact
    layout: Document | None = None
    handle: IpcHandle = ""


class OffloadArtifacts(Message, frozen=True, tag="offload"):
    """Tells to let go of ``artifacts``."""

    artifacts: tuple[Artifact, ...]


class RunBatch(Message, frozen=True, tag="run"):
    """Tells to prefill requests that were handed over, as one batch."""

    batch: Count
    requests: tuple[RequestId, ...]


# -- from an instance -------------------------------------------------------------------------


class ArtifactLoaded(Message, frozen=True, tag="loaded"):
    """``artifact`` is in place."""

    artifact: Artifact


class Offloaded(Message, frozen=True):
    """Artifacts were let go of, as told."""


class Cancelled(Message, frozen=True):
    """A withdrawn request is forgotten."""

    request: RequestId


class Prefilled(Message, frozen=True):
    """A batch had its prefill, which gave each of its requests a token."""

    batch: Count
    start_ns: Nanoseconds
    t_ns: Nanoseconds
    tokens: StepTokens


class Decoded(Message, frozen=True):
    """A decode step ended at ``t_ns``."""

    t_ns: Nanoseconds
    tokens: StepTokens


Progress = Prefilled | Decoded | Cancelled
"""What an instance says of its requests."""

# -- loaders and auditors ---------------------------------------------------------------------


class FillCopy(Message, frozen=True, tag="load"):
    """Tells a loader to read a checkpoint into a shared copy: the memory file that comes along, or
    device memory that is shared by ``sharing``. ``audited``: sum it when it is filled."""

    device: Name
    sharing: Name
    audited: bool
    layout: Document
    model_dir: Name


class DropCopy(Message, frozen=True, tag="drop"):
    """Tells a loader whose memory the copy is to let go of it."""


class CopyLoaded(Message, frozen=True, tag="loaded"):
    """The copy is filled. Device memory comes as a descriptor or as ``handle``."""

    handle: IpcHandle = ""
    sum: CopySum | None = None


class SumCopy(Message, frozen=True, tag="sum"):
    """Tells an auditor to sum ``nbytes`` of the copy that comes along, or is behind ``handle``."""

    device: Name
    nbytes: Count
    handle: IpcHandle = ""


class Summed(Message, frozen=True):
    """A copy was summed."""

    sum: CopySum


INSTANCE_SAYS = Incoming(Started | Failed | Pong | ArtifactLoaded | Offloaded | Progress)
INSTANCE_HEARS = Incoming(
    Configure | Begin | LoadArtifact | OffloadArtifacts | Request | RunBatch | Cancel | Ping | Stop,
    descriptors=1,
    most_bytes=MOST_OF_A_MESSAGE,
)
LOADER_SAYS = Incoming(CopyLoaded | Failed, descriptors=1)
LOADER_HEARS = Incoming(FillCopy | DropCopy, descriptors=1, most_bytes=MOST_OF_A_MESSAGE)
AUDITOR_SAYS = Incoming(Summed | Failed)
AUDITOR_HEARS = Incoming(SumCopy, descriptors=1)
