"""Messages between the gateway and its instances, loaders and auditors."""

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
    Reason,
    Request,
    RequestId,
    Started,
    StepTokens,
    Stop,
)

from ..core.artifacts import Artifact

IpcHandle = Annotated[str, Meta(max_length=128)]
"""The 64 bytes of a cudaIpc handle in hexadecimal; empty if there is none."""
Stamp = tuple[int, ...]


class CopySum(Part, frozen=True):
    """Checksum of a shared copy, below 2^64, and the time span in which the copy was read."""

    checksum: Annotated[int, Meta(ge=0)]
    start_ns: Nanoseconds
    end_ns: Nanoseconds

    def __post_init__(self) -> None:
        if self.checksum >= 2**64:
            raise ValueError("checksum is not below 2^64")


# -- to an instance ---------------------------------------------------------------------------


class SlotShape(Part, frozen=True):
    """Shape of adapter slots of an engine that is built before its adapters are known."""

    rank: PositiveCount
    targets: tuple[Name, ...]


class Configure(Message, frozen=True):
    """Tells an instance which group it serves. ``adapter`` and its ``stamps`` at deployment are of
    a group of one function; one of several has ``places`` for adapters, which come later.
    ``memory_bytes`` limits the instance's memory (None: unbounded); ``piece_tokens`` limits the
    prompt tokens between two decode steps (None: whole prompts); ``mixed_passes``: as the option
    of this name; ``slot`` is the shape of the places, or of the slot of a prewarmed process, which
    has no adapter yet. ``card``: the UUID of its GPU; empty on the CPU. ``later``: the folders of
    functions that may take over the process."""

    group: Name
    model_dir: Name
    adapter: Name | None
    stamps: tuple[Stamp, ...]
    device: Name
    threads: PositiveCount
    memory_bytes: PositiveCount | None
    max_batch_size: PositiveCount
    max_context_tokens: PositiveCount
    piece_tokens: PositiveCount | None = None
    mixed_passes: bool = True
    slot: SlotShape | None = None
    places: Count = 0
    card: Name = ""
    later: tuple[Name, ...] = ()


class Begin(Message, frozen=True):
    """Turns a prewarmed process into an instance."""


class Vacate(Message, frozen=True):
    """Release all that belongs to the function that an instance served: another function takes over
    its process, whose ``Configure`` and ``Begin`` follow."""


class AllowPreparation(Message, frozen=True):
    """Allows an idle process to prepare its engine for later requests, which is the default, or
    suspends this while others work on the device."""

    allowed: bool


class LoadArtifact(Message, frozen=True, tag="load"):
    """Load ``artifact``. ``layout`` is for a backbone; ``handle`` is for a shared copy that is not
    sent as a descriptor."""

    artifact: Artifact
    layout: Document | None = None
    handle: IpcHandle = ""


class OffloadArtifacts(Message, frozen=True, tag="offload"):
    """Release ``artifacts``."""

    artifacts: tuple[Artifact, ...]


class HoldAdapter(Message, frozen=True, tag="hold"):
    """Put the adapter of ``function`` into a free place: packed for the shape of the places, in the
    sealed memory file of ``nbytes`` sent with the message."""

    function: Name
    nbytes: PositiveCount


class DropAdapter(Message, frozen=True, tag="release"):
    """Free the place of the adapter of ``function``. None of its requests is running."""

    function: Name


class RunBatch(Message, frozen=True, tag="run"):
    """Prefill requests, sent before with ``Request``, as one batch. ``back_to_back``: the next one,
    if it comes during this one, begins before a decode step."""

    batch: Count
    requests: tuple[RequestId, ...]
    back_to_back: bool = False


class PauseDecoding(Message, frozen=True):
    """Decode no further until ``ResumeDecoding``, for ``most_ns`` at most. Prompts go on."""

    most_ns: Count


class ResumeDecoding(Message, frozen=True):
    """Decode on."""


# -- from an instance -------------------------------------------------------------------------


class ArtifactLoaded(Message, frozen=True, tag="loaded"):
    """``artifact`` is loaded."""

    artifact: Artifact


class Prepared(Message, frozen=True):
    """No part of the engine's preparation is left."""


class AdapterHeld(Message, frozen=True, tag="held"):
    """The adapter of ``function`` is in a place."""

    function: Name


class AdapterRefused(Message, frozen=True, tag="refused"):
    """The adapter of ``function`` is in no place: its memory file is not what the engine takes."""

    function: Name
    reason: Reason


class Offloaded(Message, frozen=True):
    """The artifacts of an ``OffloadArtifacts`` are released."""


class Cancelled(Message, frozen=True):
    """A request was cancelled and its state removed."""

    request: RequestId


class Prefilled(Message, frozen=True):
    """The prefill of a batch ended; it produced one token for each request. ``computed_ns``: how
    long its prompts were computed, without the decode steps between pieces of them."""

    batch: Count
    start_ns: Nanoseconds
    t_ns: Nanoseconds
    computed_ns: Nanoseconds
    tokens: StepTokens


class Decoded(Message, frozen=True):
    """A decode step ended at ``t_ns``."""

    t_ns: Nanoseconds
    tokens: StepTokens


Progress = Prefilled | Decoded | Cancelled
"""Messages of an instance about its requests."""

# -- loaders and auditors ---------------------------------------------------------------------


class FillCopy(Message, frozen=True, tag="load"):
    """Read a checkpoint into a shared copy: the memory file sent with the message, or device memory
    shared by the method ``sharing``. ``audited``: compute the checksum of the filled copy.
    On a card, a descriptor is that of a copy on another one, whose bytes are the same.
    ``keep_cached``: leave the files in the page cache, for loaders of other devices. ``card``: as
    in ``Configure``."""

    device: Name
    sharing: Name
    audited: bool
    layout: Document
    model_dir: Name
    keep_cached: bool = False
    card: Name = ""


class StandBy(Message, frozen=True):
    """Tells a loader on a card to start its CUDA context and to wait for a ``FillCopy`` of one of
    ``model_dirs``: what it may read can only be chosen before. ``card``: as in ``Configure``."""

    card: Name
    model_dirs: tuple[Name, ...]


class DropCopy(Message, frozen=True, tag="drop"):
    """Tells the loader that owns the copy's memory to release it."""


class CopyLoaded(Message, frozen=True, tag="loaded"):
    """The copy is filled. Device memory is returned as a descriptor or as ``handle``. ``problem``:
    why it was not made from the copy that was given."""

    handle: IpcHandle = ""
    sum: CopySum | None = None
    problem: Reason = ""


class SumCopy(Message, frozen=True, tag="sum"):
    """Compute the checksum of ``nbytes`` of the copy, sent as a descriptor or as ``handle``.
    ``card``: as in ``Configure``."""

    device: Name
    nbytes: Count
    handle: IpcHandle = ""
    card: Name = ""


class Summed(Message, frozen=True):
    """The checksum of a copy."""

    sum: CopySum


INSTANCE_SAYS = Incoming(
    Started
    | Failed
    | Pong
    | ArtifactLoaded
    | Prepared
    | AdapterHeld
    | AdapterRefused
    | Offloaded
    | Progress
)
INSTANCE_HEARS = Incoming(
    Configure
    | Begin
    | Vacate
    | AllowPreparation
    | LoadArtifact
    | OffloadArtifacts
    | HoldAdapter
    | DropAdapter
    | Request
    | RunBatch
    | PauseDecoding
    | ResumeDecoding
    | Cancel
    | Ping
    | Stop,
    descriptors=1,
    most_bytes=MOST_OF_A_MESSAGE,
)
LOADER_SAYS = Incoming(Started | CopyLoaded | Failed, descriptors=1)
LOADER_HEARS = Incoming(StandBy | FillCopy | DropCopy, descriptors=1, most_bytes=MOST_OF_A_MESSAGE)
AUDITOR_SAYS = Incoming(Summed | Failed)
AUDITOR_HEARS = Incoming(SumCopy, descriptors=1)
