"""A step with fixed buffers: run as it is the first time, captured the second, replayed after.

The first run loads kernels, which must not happen inside a capture, and its answer counts; so
nothing is ever run for the graph's sake alone in a request's path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .virtual import call, driver

Outputs = tuple[Tensor, Tensor]
Body = Callable[[Tensor], Outputs]


def is_cuda(device: str) -> bool:
    return torch.device(device).type == "cuda"


class Capture:
    """What the graphs of one engine share: a stream to be captured on, hence one workspace of the
    math library, and a pool of memory, since they never run side by side."""

    def __init__(self, device: str) -> None:
        self._stream: Any = _stream(torch.device(device))
        self._pool = torch.cuda.graph_pool_handle()

    def take(self, body: Body, inputs: Tensor) -> tuple[Any, Outputs]:
        """The graph of ``body`` and its outputs. Not by ``torch.cuda.graph``, which first collects
        garbage and empties the allocator's cache: neither is wanted in a request's path."""
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(self._stream):
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                outputs = body(inputs)
            finally:
                graph.capture_end()
        return graph, outputs


def _stream(device: torch.device) -> Any:
    """One stream: torch's own come from a pool that makes all of its streams at the first, at the
    cost of some 70 MiB of the card."""
    cuda = driver()
    with torch.cuda.device(device):
        made = call(cuda.cuStreamCreate(cuda.CUstream_flags.CU_STREAM_NON_BLOCKING))
    return torch.cuda.ExternalStream(int(made), device)  # type: ignore[no-untyped-call]


class Step:
    """``body``: inputs (k, n) int64 → logits (n, vocabulary) and their argmax. The inputs are one
    tensor, so that they arrive by one copy; the tokens leave by one. No ``capture``: no graph."""

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
        """Where the inputs are written before :meth:`run`; keeps its values. They leave for the
        device asynchronously: nothing is written here before something of the last run was read."""
        return self._host

    def run(self) -> Outputs:
        """Logits and tokens, on the device; a replay overwrites those of the last."""
        self._inputs.copy_(self._host, non_blocking=True)
        if self._capture is not None and self._seen and self._taken is None:
            self._taken = self._capture.take(self._body, self._inputs)
        if self._taken is None:
            self._seen = True
            return self._body(self._inputs)
        graph, outputs = self._taken
        graph.replay()
        return outputs
