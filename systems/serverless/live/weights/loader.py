"""The backbone function (paper, "Secure backbone sharing"): a process that reads a checkpoint into
the shared copy, on the host or a device, and exits. The copy outlives it, since the gateway's store
holds the descriptor; without a descriptor (cudaIpc) the loader must stay."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from systems.errors import DeploymentError, SystemsError
from systems.runtime import process
from systems.runtime.channel import Channel
from systems.runtime.messages import Failed, Message, Started
from systems.runtime.sandbox import confine

from ..messages import CopyLoaded, CopySum, FillCopy, StandBy
from . import store
from .handle import SharedWeightsHandle

if TYPE_CHECKING:
    from torch import Tensor

    from systems.engine.checkpoint import BackboneLayout


@dataclass(frozen=True, slots=True)
class Filled:
    """A filled copy."""

    weights_handle: SharedWeightsHandle | None
    """None: the other processes already have the handle."""
    checksum: Callable[[], int]
    kept: bool = False
    """The copy exists only as long as this process, which must stay."""
    problem: str = ""
    """Why it was not made from the copy that was given."""


def main(channel: Channel) -> int:
    try:
        return _load(channel)
    except (SystemsError, OSError, RuntimeError) as error:
        channel.send(Failed(str(error)))
        return 1


def _load(channel: Channel) -> int:
    received = channel.receive()
    assert received is not None, "a receive without a time-out answers or raises"
    message, fds = received
    process.import_libraries(_device_of(message))
    if isinstance(message, StandBy):
        message, fds = _stood_by(channel, message)
    else:
        _settle_in(message)
    assert isinstance(message, FillCopy), "it is told what to load"
    from systems.engine.checkpoint import BackboneLayout

    layout = BackboneLayout.from_json(message.layout)
    filled = _LOAD[message.device](layout, message, fds)
    summed = _summed(filled) if message.audited else None
    weights_handle = filled.weights_handle or SharedWeightsHandle()
    channel.send(CopyLoaded(weights_handle.handle, summed, filled.problem), weights_handle.fds)
    if filled.kept:
        channel.receive()  # the request to drop the copy, or the end of the gateway
    return 0


def _device_of(message: Message) -> str:
    """Return the kind of device of a loader's first message; only loaders on a card stand by."""
    return message.device if isinstance(message, FillCopy) else "cuda"


def _settle_in(message: Message) -> None:
    assert isinstance(message, FillCopy), "it is told what to load"
    confine.settle_in(message.device, [Path(message.model_dir)])


def _stood_by(channel: Channel, message: StandBy) -> tuple[Message, list[int]]:
    """Start CUDA and import all that a copy needs, which takes longer than copying a backbone from
    another device; return the next message, which may come much later."""
    from systems.engine.cuda import context, device_mapping, loading, peers  # noqa: F401

    from . import cuda_copies  # noqa: F401

    confine.settle_in("cuda", [Path(each) for each in message.model_dirs])
    context.check_card(message.card)
    context.start()
    device_mapping.own(1).close()  # also starts torch, and what maps memory
    channel.send(Started(time.monotonic_ns()))
    received = channel.receive()
    assert received is not None, "a receive without a time-out answers or raises"
    return received


def _summed(filled: Filled) -> CopySum:
    start_ns = time.monotonic_ns()
    checksum = filled.checksum()
    return CopySum(checksum, start_ns, time.monotonic_ns())


def _to_host(layout: BackboneLayout, message: FillCopy, fds: list[int]) -> Filled:
    """Fill the received memory file and seal it."""
    from systems.engine.checkpoint import fill

    with store.map_writable(fds[0]) as mapping, memoryview(mapping) as buffer:
        fill(layout, Path(message.model_dir), buffer)
    store.seal(fds[0])
    return Filled(None, lambda: store.checksum(store.map_shared(fds[0]), layout.nbytes))


def _to_device(layout: BackboneLayout, message: FillCopy, fds: list[int]) -> Filled:
    """Allocate device memory and fill it, from the copy of another device if it is given and can be
    reached; return it with the handle for others."""
    import torch

    from systems.engine.cuda import context, peers
    from systems.engine.cuda.loading import fill_device

    from . import cuda_copies

    context.check_card(message.card)
    flat, weights_handle = cuda_copies.make(layout.nbytes, message.sharing)
    copied, problem = _copied(fds, flat)
    if not copied:
        past_cache = not message.keep_cached and peers.all_reachable()
        fill_device(layout, Path(message.model_dir), flat, past_cache=past_cache)
        torch.cuda.synchronize()
    kept = bool(weights_handle.handle)
    return Filled(weights_handle, lambda: cuda_copies.checksum(flat), kept, problem)


def _copied(fds: list[int], flat: Tensor) -> tuple[bool, str]:
    """Copy from the copy of another device, if one is given; return whether that was possible, and
    why it failed."""
    from systems.engine.cuda import peers

    try:
        return bool(fds) and peers.copy_from(fds[0], flat), ""
    except DeploymentError as error:
        return False, str(error)


_LOAD = {"cpu": _to_host, "cuda": _to_device}
