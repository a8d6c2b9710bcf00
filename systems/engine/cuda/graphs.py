"""A step with fixed buffers: its first run is eager, its second is captured, later ones replay.

The first run loads kernels, which must not happen during a capture, and its result is used. So no
request waits for a run that only serves the capture.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .virtual import call, driver

Outputs = tuple[Tensor, Tensor]
Body = Callable[[Tensor], Outputs]


def is_cuda(device: str) -> bool:
    return torch.device(device).type == "cuda"


class Capture:
    """Shared by the graphs of an engine: one capture stream, hence one workspace of the math
    library, and one memory pool, since the graphs never run concurrently. ``pool_bytes``: what the
    largest of them needs; all get their tensors in a block of as much. Else each that is larger
    than those before it would add a block, and the sum of them stay."""

    def __init__(self, device: str, pool_bytes: int = 0) -> None:
        self._device = device
        self._stream: Any = _stream(torch.device(device))
        self._pool = torch.cuda.graph_pool_handle()
        self._pool_bytes = pool_bytes

    def take(self, body: Body, inputs: Tensor) -> tuple[Any, Outputs]:
        """Capture ``body``; return its graph and outputs. Avoids ``torch.cuda.graph``, which first
        collects garbage and empties the allocator's cache: too slow while a request waits."""
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with _no_collection(), torch.cuda.stream(self._stream):
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                self._fill_pool()
                outputs = body(inputs)
            finally:
                graph.capture_end()
        return graph, outputs

    def _fill_pool(self) -> None:
        """Leave a free block in the pool at the first capture, which the allocator then splits."""
        torch.empty(self._pool_bytes, dtype=torch.uint8, device=self._device)
        self._pool_bytes = 0


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector out: a graph that it destroyed would invalidate the capture."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _stream(device: torch.device) -> Any:
    """Create one stream. torch's own streams come from a pool that creates all of them at first use
    and takes about 70 MiB of device memory."""
    cuda = driver()
    with torch.cuda.device(device):
        made = call(cuda.cuStreamCreate(cuda.CUstream_flags.CU_STREAM_NON_BLOCKING))
    return torch.cuda.ExternalStream(int(made), device)  # type: ignore[no-untyped-call]


def with_tokens(logits: Tensor) -> Outputs:
    """Return ``logits`` (n, vocabulary) and the greedy tokens."""
    return logits, logits.argmax(1)


class Step:
    """``body``: inputs (k, n) int64 → logits (n, vocabulary) and their argmax. The inputs are one
    tensor, copied at once, and so are the tokens. Without ``capture`` there is no graph."""

    def __init__(
        self, body: Body, inputs: tuple[int, ...], device: str, capture: Capture | None
    ) -> None:
        self._body = body
        self._host = torch.zeros(inputs, dtype=torch.int64, pin_memory=is_cuda(device))
        self._inputs = torch.zeros(inputs, dtype=torch.int64, device=device)
        self._capture = capture
        self._seen = False
        self._taken: tuple[Any, Outputs] | None = None

    @property
    def captured(self) -> bool:
        return self._taken is not None

    @property
    def host(self) -> Tensor:
        """The input buffer, to be filled before :meth:`run`; it keeps its values. It is copied
        asynchronously: write to it only after an output of the last run was read."""
        return self._host

    def run(self) -> Outputs:
        """Return logits and tokens on the device; a replay overwrites those of the last run."""
        self._inputs.copy_(self._host, non_blocking=True)
        if self._capture is not None and self._seen and self._taken is None:
            self._taken = self._capture.take(self._body, self._inputs)
        if self._taken is None:
            self._seen = True
            return self._body(self._inputs)
        graph, outputs = self._taken
        graph.replay()
        return outputs
