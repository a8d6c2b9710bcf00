"""How much memory the tensors of a pass take at a time, which all graphs of an engine share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from systems.engine.checkpoint import BackboneLayout
from systems.engine.cuda.forward import DeviceForward
from systems.engine.cuda.ops import TorchOps
from systems.engine.cuda.slab import SlabCache
from systems.engine.weights import BackboneWeights

TOKENS = 512


class Peak(TorchDispatchMode):
    """``most``: bytes of the tensors made meanwhile that were there at a time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._given: set[int] = set()
        self._made: dict[int, tuple[Any, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._made = {key: made for key, made in self._made.items() if not made[0].expired()}
        self._given |= {key for key, _ in _storages((args, kwargs)) if key not in self._made}
        found = func(*args, **(kwargs or {}))
        for key, storage in _storages(found):
            if key not in self._given:
                weak: Any = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
                self._made[key] = weak, storage.nbytes()
        self.most = max(self.most, sum(size for _, size in self._made.values()))
        return found


def _storages(values: Any) -> list[tuple[int, Any]]:
    tensors = (each for each in tree_leaves(values) if isinstance(each, Tensor))
    return [(each.untyped_storage().data_ptr(), each.untyped_storage()) for each in tensors]


class Fused(TorchOps):
    """Attention of prompts and rotations that make no other tensors, as kernels do."""

    def rotate_and_store(self, *_: Any, **__: Any) -> None:
        pass

    def attend_prompts(
        self, qkv: Tensor, kv_heads: int, bounds: Tensor, window: int | None = None
    ) -> Tensor:
        return qkv[:, : -2 * kv_heads].reshape(len(qkv), -1)

    def attend(self, q: Tensor, kv: Tensor, positions: Tensor, window: int | None = None) -> Tensor:
        return q.reshape(len(q), -1)


@pytest.mark.parametrize("rows", [0, 32])
@pytest.mark.parametrize("inner", [1.0, 0.1])
@torch.inference_mode()
def test_a_pass_needs_no_more_than_what_graphs_reserve_for_it(
    rows: int, inner: float, backbone: tuple[BackboneLayout, BackboneWeights]
) -> None:
    """``inner``: of the model's intermediate size; with a small one attention needs most."""
    layout, weights = backbone
    size = int(inner * layout.config.intermediate_size)
    config = layout.config.model_copy(update={"intermediate_size": size})
    layers = [
        replace(each, gate_up=each.gate_up[: 2 * size], down=each.down[:, :size])
        for each in weights.layers
    ]
    weights = replace(weights, config=config, layers=tuple(layers))
    cache = SlabCache(config, 1, TOKENS, weights.dtype, "cpu")
    forward = DeviceForward(config, weights, None, cache, Fused(), 1)
    ids, positions = torch.zeros(TOKENS, dtype=torch.long), torch.arange(TOKENS)
    bounds, last = torch.tensor([0, TOKENS - rows]), torch.tensor([TOKENS - 1])
    with Peak() as peak:
        forward.prompts(ids, positions, ids, bounds, last, None, context=0, rows=rows)
    small = 1 << 16
    assert peak.most <= forward.pass_bytes(TOKENS) + small
    assert forward.pass_bytes(TOKENS) <= 1.5 * peak.most, "and not much less"
