"""The process of a group: loads artifacts, prefills batches and decodes running requests.

It computes the prompts of a batch in pieces, with a decode step of the running requests between
two, and polls its channel each time. So a new batch waits for at most one piece and one decode
step, and running requests for at most one piece, or two where batches may be back to back. When
idle it prepares its engine for later requests in small steps. It returns token ids; the gateway
converts them to text.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from systems.engine.cuda.failures import device_failures
from systems.errors import SystemsError
from systems.runtime.channel import Channel
from systems.runtime.messages import Cancel, Failed, Message, Ping, Pong, Request, Started, Stop
from systems.runtime.packets import close_all

from . import messages as m
from .instance_artifacts import InstanceArtifacts
from .instance_batches import InstanceBatches


def main(channel: Channel) -> int:
    instance = Instance(channel)
    instance.begin()
    try:
        return instance.run()
    except device_failures() as error:
        # Its CUDA context cannot be used any more, or there is no memory. The first line of torch
        # says why.
        channel.send(Failed(f"its device failed: {_first_sentence(error)}"))
        return 1


def _first_sentence(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". ")[0]


class Instance:
    """Carries out the messages of its channel, between which it computes."""

    def __init__(self, channel: Channel) -> None:
        self.artifacts = InstanceArtifacts()
        self._channel = channel
        self._batches = InstanceBatches(self.artifacts, channel.send)
        self._stopped = False
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
            m.PauseDecoding: self._pause,
            m.ResumeDecoding: self._resume,
            Cancel: self._cancel,
            Ping: self._answer,
            Stop: self._stop,
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
        idle = not self._batches.step() and self.artifacts.preparation_ms() == 0
        if idle and not self.artifacts.prepare():
            self._channel.send(m.Prepared())

    def _listen(self) -> None:
        """Handle all pending messages; when idle, wait for one. This function keeps no reference to
        the engine, because a message may release it."""
        received = self._channel.receive(self._idle_ms())
        while received is not None and not self._stopped:
            message, fds = received
            self._on[type(message)](message, fds)
            self.artifacts.pace.heard()
            received = self._channel.receive(self._batches.wait_ms)

    def _idle_ms(self) -> int | None:
        """Return how long to wait for a message; None: until one arrives."""
        busy = self._batches.busy
        return self._batches.wait_ms if busy else self.artifacts.preparation_ms()

    # -- artifacts --------------------------------------------------------------------------

    def _begin(self, message: m.Begin, fds: list[int]) -> None:  # noqa: ARG002
        """Turn a prewarmed process into an instance."""
        self.begin()

    def _vacate(self, message: m.Vacate, fds: list[int]) -> None:  # noqa: ARG002
        self.artifacts.vacate()

    def _allow_preparation(self, message: m.AllowPreparation, fds: list[int]) -> None:  # noqa: ARG002
        self.artifacts.pace.allowed = message.allowed

    def _configure(self, message: m.Configure, fds: list[int]) -> None:  # noqa: ARG002
        self.artifacts.configure(message)

    def _load(self, message: m.LoadArtifact, fds: list[int]) -> None:
        try:
            self.artifacts.load(message, fds)
        except (SystemsError, OSError, MemoryError) as error:
            self._channel.send(Failed(str(error)))
            self._stopped = True
        else:
            self._channel.send(m.ArtifactLoaded(message.artifact))

    def _offload(self, message: m.OffloadArtifacts, fds: list[int]) -> None:  # noqa: ARG002
        self.artifacts.offload(message.artifacts)
        self._channel.send(m.Offloaded())

    def _hold(self, message: m.HoldAdapter, fds: list[int]) -> None:
        """Put an adapter into a place. Its parser may have been taken over by the adapter's files,
        so a memory file that the engine cannot use fails its function alone."""
        try:
            self.artifacts.hold(message.function, fds[0], message.nbytes)
        except (SystemsError, OSError, ValueError, MemoryError) as error:
            self._channel.send(m.AdapterRefused(message.function, str(error)))
        else:
            self._channel.send(m.AdapterHeld(message.function))
        finally:
            close_all(fds)

    def _drop(self, message: m.DropAdapter, fds: list[int]) -> None:  # noqa: ARG002
        self.artifacts.drop(message.function)

    # -- requests ---------------------------------------------------------------------------

    def _request(self, message: Request, fds: list[int]) -> None:  # noqa: ARG002
        self._batches.take(message.request.for_engine())

    def _run(self, message: m.RunBatch, fds: list[int]) -> None:  # noqa: ARG002
        self._batches.run(message)

    def _pause(self, message: m.PauseDecoding, fds: list[int]) -> None:  # noqa: ARG002
        self._batches.pause(message.most_ns)

    def _resume(self, message: m.ResumeDecoding, fds: list[int]) -> None:  # noqa: ARG002
        self._batches.resume()

    def _cancel(self, message: Cancel, fds: list[int]) -> None:  # noqa: ARG002
        self._batches.cancel(message.request)
        self._channel.send(m.Cancelled(message.request))

    def _answer(self, message: Ping, fds: list[int]) -> None:  # noqa: ARG002
        self._channel.send(Pong())

    def _stop(self, message: Stop, fds: list[int]) -> None:  # noqa: ARG002
        self._stopped = True
