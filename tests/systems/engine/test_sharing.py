"""Forked instances share one sealed backbone and return the same tokens as with private copies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from systems.engine.checkpoint import BackboneLayout
from systems.engine.engine import Engine
from systems.engine.weights import BackboneWeights

from .driving import answer, prompts


def test_two_forked_children_share_a_read_only_backbone(
    tiny: Path, adapters: dict[str, Path], make_engine: Callable[..., Engine]
) -> None:
    (prompt,) = prompts((70,))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.systems.engine.fork_program",
            str(tiny),
            json.dumps(prompt),
            str(adapters["f0"]),
            str(adapters["f1"]),
        ],
        env=environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=True,
        timeout=120,
    )
    seen = json.loads(done.stdout)
    assert seen["threads"] == 1, "importing what instances need must start no thread"
    assert seen["answers"] == [answer(make_engine(f), [prompt], 8)[0] for f in ("f0", "f1")]


def test_generating_leaves_every_byte_of_the_backbone_as_it_was(
    backbone: tuple[BackboneLayout, BackboneWeights], make_engine: Callable[..., Engine]
) -> None:
    _, weights = backbone
    before = [tensor.clone() for tensor in every(weights)]
    answer(make_engine("f0"), prompts((20, 5)), 4)
    assert all(map(torch.equal, every(weights), before))


def every(weights: BackboneWeights) -> list[torch.Tensor]:
    names = ("input_norm", "qkv", "o", "post_norm", "gate_up", "down")
    layers = [getattr(layer, name) for layer in weights.layers for name in names]
    return [weights.embedding, *layers, weights.norm, weights.head]


def test_a_device_without_host_buffers_is_refused(
    backbone: tuple[BackboneLayout, BackboneWeights],
) -> None:
    layout, _ = backbone
    with pytest.raises(ValueError, match="cuda:0"):
        BackboneWeights.from_buffer(layout, bytearray(layout.nbytes), device="cuda:0")
