"""Process that maps one shared copy, reports its checksum once, and exits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from systems.errors import SystemsError
from systems.runtime.channel import Channel
from systems.runtime.messages import Failed

from ..messages import CopySum, SumCopy, Summed
from . import store
from .handle import SharedWeightsHandle

if TYPE_CHECKING:
    from collections.abc import Callable


def main(channel: Channel) -> int:
    received = channel.receive()
    assert received is not None, "a receive without a time-out answers or raises"
    message, fds = received
    assert isinstance(message, SumCopy)
    start_ns = time.monotonic_ns()
    try:
        found = _SUM[message.device](message, SharedWeightsHandle.of(message.handle, fds))
    except (SystemsError, OSError, RuntimeError) as error:
        channel.send(Failed(str(error)))
        return 1
    channel.send(Summed(CopySum(found, start_ns, time.monotonic_ns())))
    return 0


def _on_host(message: SumCopy, copy: SharedWeightsHandle) -> int:
    assert copy.fd is not None, "a copy on the host is a memory file"
    return store.checksum(store.map_readable(copy.fd), message.nbytes)


def _on_device(message: SumCopy, copy: SharedWeightsHandle) -> int:
    from systems.engine.cuda import context

    from . import cuda_copies

    context.check_card(message.card)
    context.start()
    return cuda_copies.checksum(cuda_copies.map_shared(copy, message.nbytes))


_SUM: dict[str, Callable[[SumCopy, SharedWeightsHandle], int]] = {
    "cpu": _on_host,
    "cuda": _on_device,
}
