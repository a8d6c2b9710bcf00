"""The process of a group: loads artifacts, prefills batches and decodes running requests.

It computes the prompts of a batch in pieces, with a decode step of the running requests between
two, and polls its channel each time. So a new batch waits for at most one piece and one decode
step, and running requests for at most one piece. When idle it prepares its engine for later
requests in small steps. It returns token ids; the gateway converts them to text.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systems.errors import SystemsError
from systems.runtime import process
from systems.runtime.channel import Channel, close_all
from systems.runtime.messages import (
    Cancel,
    Failed,
    Message,
    Ping,
    Pong,
    Request,
    Started,
    StepToken,
    Stop,
)
from systems.runtime.preparation_pace import Pace
from systems.runtime.sandbox import confine

from ..core.artifacts import Artifact
from . import device_backend
from . import messages as m
from .adapters import memory_file
from .prefill import Prefill
from .weights.handle import SharedWeightsHandle

if TYPE_CHECKING:
    from systems.engine.batching import Batching
    from systems.engine.checkpoint import BackboneLayout
    from systems.engine.requests import GenerationRequest, TokenEvent
    from systems.engine.weights import BackboneWeights


def main(channel: Channel) -> int:
    instance = Instance(channel)
    instance.begin()
    return instance.run()


class Instance:
    """State of the process: loaded artifacts, the engine and its batches."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._config: m.Configure
        self._place: device_backend.DeviceBackend
        self._layout: BackboneLayout
        self._weights: BackboneWeights | None = None
        self._adapter: Any = None  # in the form that its device backend takes
        self._engine: Batching | None = None
        self._cross: Any = None
        """The engine, if it has places for adapters."""
        self._arrived: dict[int, GenerationRequest] = {}
        self._batches: deque[tuple[int, Sequence[int]]] = deque()
        self._prefill: Prefill | None = None  # the batch whose prompts are being computed
        self._unprepared = False
        self._pace = Pace()
        self._stopped = False
        self._settled = self._completed = False
        self._on: dict[type[Message], Callable[[Any, list[int]], None]] = {
            m.Begin: self._begin,
            m.Vacate: self._vacate,
            m.AllowPreparation: self._allow_preparation,
            m.Configure: self._configure,
            m.LoadArtifact: self._load,
            m.OffloadArtifacts: self._offload,
            m.HoldAdapter: self._hold,
            m.DropAdapter: self._drop,
            Request: self._request,
            m.RunBatch: self._run,
            Cancel: self._cancel,
            Ping: self._answer,
            Stop: self._stop,
        }
        self._loaders: dict[Artifact, Callable[[m.LoadArtifact, list[int]], None]] = {
            Artifact.LIBRARIES: self._load_libraries,
            Artifact.BACKBONE: self._load_backbone,
            Artifact.ADAPTER: self._load_adapter,
            Artifact.KERNELS: self._load_kernels,
        }

    def begin(self) -> None:
        self._channel.send(Started(time.monotonic_ns()))

    def run(self) -> int:
        """Serve until told to stop; return the exit status."""
        self._listen()
        while not self._stopped:
            self._step()
            self._listen()
        return 0

    def _step(self) -> None:
        """Compute a piece of prompts and a decode step; if there is neither, prepare the engine."""
        if self._prefill is None and self._batches:
            self._begin_batch(*self._batches.popleft())
        if self._prefill is not None:
            self._advance(self._prefill)
        if self._engine is not None and self._engine.running:
            self._decode()
        elif self._unprepared and self._prefill is None and not self._pace.wait_ms():
            self._prepare()

    def _prepare(self) -> None:
        if self._engine is not None:
            self._unprepared = self._engine.prepare()
            self._pace.prepared()

    def _listen(self) -> None:
        """Handle all pending messages; when idle, wait for one. This function keeps no reference to
        the engine, because a message may release it."""
        received = self._channel.receive(self._idle_ms())
        while received is not None and not self._stopped:
            message, fds = received
            self._on[type(message)](message, fds)
            received = self._channel.receive(0)

    def _idle_ms(self) -> int | None:
        """Return how long to wait for a message; None: until one arrives."""
        engine = self._engine
        if self._batches or self._prefill or (engine is not None and engine.running):
            return 0
        return self._pace.wait_ms() if engine is not None and self._unprepared else None

    # -- artifacts --------------------------------------------------------------------------

    def _begin(self, message: m.Begin, fds: list[int]) -> None:  # noqa: ARG002
        """Turn a prewarmed process into an instance."""
        self.begin()

    def _vacate(self, message: m.Vacate, fds: list[int]) -> None:  # noqa: ARG002
        """Drop what the function before had, so that another may use this process."""
        self._unprepared = False
        self._release(_HELD_AS)

    def _allow_preparation(self, message: m.AllowPreparation, fds: list[int]) -> None:  # noqa: ARG002
        self._pace.allowed = message.allowed

    def _configure(self, message: m.Configure, fds: list[int]) -> None:  # noqa: ARG002
        self._config = message
        self._place = device_backend.BACKENDS[message.device]

    def _load(self, message: m.LoadArtifact, fds: list[int]) -> None:
        artifact = message.artifact
        try:
            if artifact is not Artifact.LIBRARIES and not self._settled:
                self._settle_in()
            self._loaders[artifact](message, fds)
        except (SystemsError, OSError, MemoryError) as error:
            self._channel.send(Failed(str(error)))
            self._stopped = True
        else:
            self._channel.send(m.ArtifactLoaded(artifact))

    def _settle_in(self) -> None:
        """Tighten the sandbox after the import of libraries, which needs more, and before any read
        of a tenant's files."""
        own = (self._config.model_dir, self._config.adapter, *self._config.later)
        paths = [Path(path) for path in own if path]
        confine.settle_in(self._config.device, paths, self._config.memory_bytes)
        self._settled = True

    def _complete(self) -> None:
        """Tighten the sandbox after the start of the device, which needs more."""
        if not self._completed:
            confine.complete(self._config.device)
            self._completed = True

    def _load_libraries(self, message: m.LoadArtifact, fds: list[int]) -> None:  # noqa: ARG002
        process.import_libraries()

    def _load_backbone(self, message: m.LoadArtifact, fds: list[int]) -> None:
        """Map the shared copy of the message or read a private one, unless done when prewarmed."""
        from systems.engine.checkpoint import BackboneLayout

        if self._weights is not None:
            close_all(fds)
            return
        assert message.layout is not None, "a backbone comes with its layout"
        self._layout = BackboneLayout.from_json(message.layout)
        model_dir = Path(self._config.model_dir)
        if self._place.start is not None:
            self._place.start()
            self._read_adapter()
        self._place.check_card(self._config.card)  # after the start, which it would wait for
        self._weights = self._place.weights(
            self._layout, model_dir, SharedWeightsHandle.of(message.handle, fds)
        )

    def _load_adapter(self, message: m.LoadArtifact, fds: list[int]) -> None:  # noqa: ARG002
        """Read the adapter, unless it was read during device startup or is still in the container
        after an offload."""
        self._read_adapter()

    def _read_adapter(self) -> None:
        """Read the adapter as it was deployed: the memory ledger holds its size at deployment."""
        if self._adapter is None and self._config.adapter:
            folder = Path(self._config.adapter)
            self._adapter = self._place.adapter(folder, self._layout, self._config.stamps)

    def _load_kernels(self, message: m.LoadArtifact, fds: list[int]) -> None:  # noqa: ARG002
        """Build the engine and prepare all that the first request would otherwise wait for."""
        assert self._weights is not None, "artifacts are loaded in order of precedence"
        config = self._config
        self._pace.loaded()
        if config.places:
            if self._cross is None:  # a prewarmed process has one
                self._cross = self._place.cross_engine(config, self._layout, self._weights)
                self._engine, self._unprepared = self._cross, True
        elif self._engine is None or not self._place.adapt(self._engine, self._adapter):
            self._engine = self._place.engine(config, self._layout, self._weights, self._adapter)
            self._unprepared = True
        self._complete()

    def _offload(self, message: m.OffloadArtifacts, fds: list[int]) -> None:  # noqa: ARG002
        self._release(set(message.artifacts) - self._place.in_container)
        self._channel.send(m.Offloaded())

    def _release(self, artifacts: Iterable[Artifact]) -> None:
        """Drop the last references to artifacts, which frees their memory: the engine's slabs, the
        adapter's tensors, the mapping of the backbone."""
        for artifact in artifacts:
            for held in _HELD_AS[artifact]:
                setattr(self, held, None)
        gc.collect()
        self._place.give_back()

    # -- adapters in places ----------------------------------------------------------------

    def _hold(self, message: m.HoldAdapter, fds: list[int]) -> None:
        """Put an adapter into a place. Its parser may have been taken over by the adapter's files,
        so a memory file that the engine cannot use fails its function alone."""
        from systems.engine.weights import bytes_of

        try:
            mapping = memory_file.map_sealed(fds[0], message.nbytes)
            self._cross.hold(message.function, bytes_of(mapping))
        except (SystemsError, OSError, ValueError, MemoryError) as error:
            self._channel.send(m.AdapterRefused(message.function, str(error)))
        else:
            self._channel.send(m.AdapterHeld(message.function))
        finally:
            close_all(fds)

    def _drop(self, message: m.DropAdapter, fds: list[int]) -> None:  # noqa: ARG002
        self._cross.drop(message.function)

    # -- requests ---------------------------------------------------------------------------

    def _request(self, message: Request, fds: list[int]) -> None:  # noqa: ARG002
        self._arrived[message.request.id] = message.request.for_engine()

    def _run(self, message: m.RunBatch, fds: list[int]) -> None:  # noqa: ARG002
        self._batches.append((message.batch, message.requests))

    def _cancel(self, message: Cancel, fds: list[int]) -> None:  # noqa: ARG002
        """Cancel a request that waits in a batch, is being prefilled or decodes."""
        request = message.request
        if self._prefill is not None:
            self._prefill.cancel(request)
        if self._arrived.pop(request, None) is None and self._engine is not None:
            self._engine.cancel(request)
        self._channel.send(m.Cancelled(request))

    def _answer(self, message: Ping, fds: list[int]) -> None:  # noqa: ARG002
        self._channel.send(Pong())

    def _stop(self, message: Stop, fds: list[int]) -> None:  # noqa: ARG002
        self._stopped = True

    def _begin_batch(self, batch: int, ids: Sequence[int]) -> None:
        assert self._engine is not None, "a batch runs only where all artifacts are in place"
        requests = [self._arrived.pop(request) for request in ids if request in self._arrived]
        self._prefill = Prefill(batch, frozenset(ids), time.monotonic_ns())
        if requests:
            self._engine.begin(requests)

    def _advance(self, prefill: Prefill) -> None:
        assert self._engine is not None
        began_ns = time.monotonic_ns()
        complete = prefill.advance(self._engine)
        now_ns = time.monotonic_ns()
        prefill.computed_ns += now_ns - began_ns
        if complete:
            times = prefill.start_ns, now_ns, prefill.computed_ns
            self._channel.send(m.Prefilled(prefill.batch, *times, _tokens(prefill.events)))
            self._prefill = None

    def _decode(self) -> None:
        assert self._engine is not None
        only = None if self._prefill is None else self._prefill.others(self._engine)
        if only is None or only:
            events = self._engine.decode(only)
            self._channel.send(m.Decoded(time.monotonic_ns(), _tokens(events)))


_HELD_AS = {
    Artifact.KERNELS: ("_engine", "_cross"),
    Artifact.ADAPTER: ("_adapter",),
    Artifact.BACKBONE: ("_weights",),
}


def _tokens(events: list[TokenEvent]) -> tuple[StepToken, ...]:
    return tuple(StepToken(each.request_id, each.token_id, each.finished) for each in events)
