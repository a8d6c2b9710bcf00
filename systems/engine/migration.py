"""Migration of a running request to another engine, without recomputing anything."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .requests import GenerationRequest


@dataclass(frozen=True, slots=True)
class RequestSnapshot:
    """The snapshot of a request. ``kv``: (layers, 2, kv heads, cached tokens, head_dim). ``draws``:
    the state of the request's random stream; None for greedy decoding."""

    request: GenerationRequest
    token: int
    produced: int
    draws: Tensor | None
    kv: Tensor

    @property
    def cached(self) -> int:
        return self.kv.shape[3]
