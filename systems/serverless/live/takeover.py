"""Wakes an instance by a prewarmed process that takes its place.

An instance that sleeps has no engine. To build one again takes 0.7 s beside other work on the GPU;
a ready prewarmed process has one and needs only the adapter. So the process takes over the
instance, under the same instance id, and the instance's process until then ends. To the controller
this is the loading of kernels.

Device memory: the controller reserves for the instance what the new process holds. The old process
holds at most what the pool reserves for each of its processes, which the new one no longer needs;
so the pool starts no other in its place before the old process has ended (``WarmPool.replace``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from systems.interface import Stage
from systems.runtime.children import GRACE_S, Child, kill
from systems.runtime.messages import Message, Started, Stop
from systems.runtime.processes import OnExit, OnMessage

from ..core.artifacts import Artifact
from .live_instance import LiveInstance
from .messages import ArtifactLoaded, Begin, Configure, LoadArtifact
from .metering import used_ns
from .prewarmed import PrewarmedProcess


def take_over(
    instance: LiveInstance,
    prewarmed: PrewarmedProcess,
    configuration: Configure,
    says: OnMessage,
    on_exit: OnExit,
    on_replaced_end: Callable[[], None],
) -> None:
    """Make the ready process ``prewarmed`` the process of ``instance`` and tell it to load the
    adapter, unless adapters are loaded into places. ``says`` and ``on_exit`` are called for the new
    process, ``on_replaced_end`` once the old one has ended."""
    old = instance.child
    assert old is not None, "an instance that loads kernels has a process"
    adapter = () if configuration.adapter is None else (LoadArtifact(Artifact.ADAPTER),)
    heard = _without_answers(instance, says, 1 + len(adapter))
    instance.child = new = prewarmed.become(heard, on_exit)
    if instance.meter is not None:
        instance.meter.pass_on(old, new)
    _end(old, instance, on_replaced_end)
    if adapter:
        instance.timeline.begin(Stage.ADAPTER, time.monotonic_ns())
    for message in (Begin(), configuration, *adapter):
        new.channel.send(message)


def _without_answers(instance: LiveInstance, says: OnMessage, answers: int) -> OnMessage:
    """Return ``says`` without the ``answers`` to :func:`take_over`: for the controller the instance
    has started and has its adapter. The request that wakes it waits for the adapter nonetheless."""
    expected = [Started, ArtifactLoaded][:answers]

    def hear(message: Message, fds: list[int]) -> None:
        if not expected or type(message) is not expected[0]:
            says(message, fds)
            return
        if expected.pop(0) is ArtifactLoaded:
            instance.timeline.end(Stage.ADAPTER, time.monotonic_ns())

    return hear


def _end(old: Child, instance: LiveInstance, then: Callable[[], None]) -> None:
    """Stop the old process, whose messages and end no longer concern the instance; only its last
    processor time does."""
    until_ns = used_ns(old)

    def ended(returncode: int | None) -> None:  # noqa: ARG001
        if instance.meter is not None and old.used_ns is not None:
            instance.meter.add(max(0, old.used_ns - until_ns))
        then()

    old.on_message = lambda message, fds: None  # noqa: ARG005
    old.on_exit = ended
    old.channel.send(Stop())
    asyncio.get_running_loop().call_later(GRACE_S, kill, old)
