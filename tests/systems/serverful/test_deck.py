"""What a serverful system of our own refuses before it starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from systems.errors import AdapterError
from systems.interface import Deployment, Device, Function
from systems.models import ensure_adapters, ensure_backbone
from systems.serverful.inhouse.backbone_deployment import make_deck

WEIGHTS = "adapter_model.safetensors"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_adapter_of_no_numbers_is_refused_since_it_would_end_the_batches_of_all(
    value: float, tmp_path: Path
) -> None:
    tiny = ensure_backbone("tiny")
    adapters = ensure_adapters(tiny, ["f0", "f1"], rank=8)
    spoilt = shutil.copytree(adapters["f1"], tmp_path / "f1")
    deployment = Deployment(
        functions=(
            Function(id="f0", backbone="tiny", adapter=adapters["f0"]),
            Function(id="f1", backbone="tiny", adapter=spoilt),
        ),
        backbones={"tiny": tiny},
        devices=(Device(name="cpu:0", memory_bytes=2 << 30),),
    )
    assert make_deck(deployment, "tiny").adapters == ("f0", "f1")
    weights = load_file(spoilt / WEIGHTS)
    next(iter(weights.values()))[-1, -1] = value
    save_file(weights, spoilt / WEIGHTS)
    with pytest.raises(AdapterError, match=f"{spoilt}.*not finite numbers"):
        make_deck(deployment, "tiny")
