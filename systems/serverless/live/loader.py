"""The backbone function (paper, "Secure backbone sharing"): reads a checkpoint into the shared
copy, seals it, and goes. The copy outlives it: the gateway's store holds the descriptor."""

from __future__ import annotations

import time
from pathlib import Path

from systems.errors import SystemsError

from . import process, store
from .wire import Channel


def main(channel: Channel) -> int:
    received = channel.receive()
    assert received is not None, "a receive without a time-out answers or raises"
    message, (fd,) = received
    process.import_libraries()
    from systems.engine.checkpoint import BackboneLayout, fill

    start_ns = time.monotonic_ns()
    try:
        layout = BackboneLayout.from_json(message["layout"])
        with store.map_writable(fd) as mapping, memoryview(mapping) as buffer:
            fill(layout, Path(message["model_dir"]), buffer)
        store.seal(fd)
    except (SystemsError, OSError) as error:
        channel.send("failed", reason=str(error))
        return 1
    channel.send("loaded", start_ns=start_ns, end_ns=time.monotonic_ns())
    return 0
