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
from typing import TYPE_CHECKING

from systems.interface import Stage
from systems.runtime import processor
from systems.runtime.children import GRACE_S, Child, kill
from systems.runtime.messages import Message, Started, Stop

from ..core.artifacts import Artifact
from .messages import ArtifactLoaded, Begin, Configure, LoadArtifact
from .prewarmed import PrewarmedProcess, Says

if TYPE_CHECKING:
    from .node import LiveInstance


def take_over(
    instance: LiveInstance,
    prewarmed: PrewarmedProcess,
    configuration: Configure,
    says: Says,
    on_exit: Callable[[int | None], None],
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
    _continue_metering(instance, old, new)
    _end(old, instance, on_replaced_end)
    if adapter:
        instance.timeline.begin(Stage.ADAPTER, time.monotonic_ns())
    for message in (Begin(), configuration, *adapter):
        new.channel.send(message)


def _without_answers(instance: LiveInstance, says: Says, answers: int) -> Says:
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
    until_ns = _used_ns(old)

    def ended(returncode: int | None) -> None:  # noqa: ARG001
        if instance.metered_from is not None and old.used_ns is not None:
            since_ns, before_ns = instance.metered_from
            instance.metered_from = since_ns, before_ns - max(0, old.used_ns - until_ns)
        then()

    old.on_message = lambda message, fds: None  # noqa: ARG005
    old.on_exit = ended
    old.channel.send(Stop())
    asyncio.get_running_loop().call_later(GRACE_S, kill, old)


def _continue_metering(instance: LiveInstance, old: Child, new: Child) -> None:
    """Keep what the old process used for the function; processor time of the new one counts from
    now on."""
    if instance.metered_from is not None:
        since_ns, before_ns = instance.metered_from
        instance.metered_from = since_ns, _used_ns(new) - (_used_ns(old) - before_ns)


def _used_ns(child: Child) -> int:
    found = processor.used_ns(child.pid) if child.pid else None
    return found or 0
