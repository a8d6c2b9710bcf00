"""A step with fixed buffers: run as it is the first time, captured the second, replayed after.

The first run loads kernels, which must not happen inside a capture, and its answer counts; so
nothing is ever run for the graph's sake alone in a request's path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Body = Callable[[Tensor], tuple[Tensor, Tensor]]


class Step:
    """``body``: inputs (k, n) int64 → logits (n, vocabulary) and their argmax. The inputs are one
    tensor, so that they arrive by one copy; the tokens leave by one."""

    def __init__(self, body: Body, inputs: tuple[int, ...], device: str, *, graph: bool) -> None:
        self._body = body
        self._cuda = torch.device(device).type == "cuda"
        self._host = torch.zeros(inputs, dtype=torch.int64, pin_memory=self._cuda)
        self._inputs = torch.zeros(inputs, dtype=torch.int64, device=device)
        self._wants_graph = graph and self._cuda
        self._graph: Any = None
        self._seen = False
        self._outputs: tuple[Tensor, Tensor] | None = None

    @property
    def captured(self) -> bool:
        return self._graph is not None

    @property
    def host(self) -> Tensor:
        """Where the inputs are written before :meth:`run`; keeps its values."""
        return self._host

    def run(self, pool: Any = None) -> tuple[Tensor, Tensor]:
        """Logits and tokens, on the device. ``pool``: memory that graphs, of which one runs at a
        time, share."""
        self._inputs.copy_(self._host, non_blocking=True)
        if self._wants_graph and self._seen and self._graph is None:
            self._capture(pool)
        if self._graph is None:
            self._seen = True
            return self._body(self._inputs)
        self._graph.replay()
        assert self._outputs is not None, "a captured graph has outputs"
        return self._outputs

    def _capture(self, pool: Any) -> None:
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            self._outputs = self._body(self._inputs)
        self._graph = graph
