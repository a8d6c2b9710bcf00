"""A running request on its way to another engine: nothing of it is computed twice."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .requests import GenerationRequest


@dataclass(frozen=True, slots=True)
class Parted:
    """``kv``: (layers, 2, kv heads, cached tokens, head_dim). ``draws``: the state of the
    request's own random stream, None for a greedy one."""

    request: GenerationRequest
    token: int
    produced: int
    draws: Tensor | None
    kv: Tensor

    @property
    def cached(self) -> int:
        return self.kv.shape[3]
