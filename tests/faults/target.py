"""The device and the backbone that faults are injected on and that a soak loads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from systems.interface import Deployment, Isolation, Limits
from systems.models import ensure_backbone
from systems.models import random_weights as weights
from systems.models.cache import cache_root, make_once
from systems.models.shapes import Shape
from tests.deployments import FUNCTIONS, seeded_deployment

SMALL = Shape(
    "small",
    "seeded random Llama of 130 M parameters, whose copy is seen in the count of a card's memory",
    "float16",
    0.02,
    260_000_000,
    {
        "hidden_size": 1024,
        "intermediate_size": 2816,
        "num_hidden_layers": 5,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 32000,
        "max_position_embeddings": 4096,
    },
)
_DTYPES = {"cpu": "float32", "cuda": "float16"}
_GIB = {("cpu", "tiny"): 2.0, ("cpu", "small"): 4.0, ("cuda", "tiny"): 8.0, ("cuda", "small"): 16.0}


@dataclass(frozen=True)
class Target:
    """``kind``: of the device; ``options``: of every deployment, besides its own."""

    kind: str = "cpu"
    backbone: str = "tiny"
    memory_gib: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> str:
        return f"{self.kind}:0"

    @property
    def gib(self) -> float:
        """The memory of the device that a deployment may use."""
        return self.memory_gib or _GIB.get((self.kind, self.backbone), 60.0)

    def deployment(
        self,
        limits: Limits,
        functions: Iterable[str] = FUNCTIONS,
        isolation: Isolation = "function",
        options: Mapping[str, Any] | None = None,
    ) -> Deployment:
        wanted = seeded_deployment(
            self.backbone, checkpoint(self.backbone), _DTYPES[self.kind], limits, functions,
            self.gib, self.device,
        )  # fmt: skip
        changes = {"isolation": isolation, "options": {**self.options, **(options or {})}}
        return wanted.model_copy(update=changes)


ON_CPU = Target()


def checkpoint(backbone: str) -> Path:
    """Return the directory of a backbone: ``SMALL``, or a preset."""
    if backbone != SMALL.name:
        return ensure_backbone(backbone)
    path = cache_root() / "backbones" / "tests" / SMALL.name
    return make_once(path, partial(weights.make, SMALL), SMALL.nbytes)
