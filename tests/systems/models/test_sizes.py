"""Sizes follow from the ``config.json`` alone, and are those of the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from systems.engine.checkpoint import plan_layout
from systems.engine.packed_size import packed_elements
from systems.errors import CheckpointError
from systems.models import ensure_backbone
from systems.models.shapes import SHAPES
from systems.models.sizes import ADAPTED, config_of, model_size

TINY = [shape.name for shape in SHAPES if shape.name.startswith("tiny")]


@pytest.mark.parametrize("name", TINY)
def test_sizes_of_a_preset_are_those_of_its_files(name: str) -> None:
    size, layout = (
        model_size(name, "bfloat16", 16, "cuda"),
        plan_layout(ensure_backbone(name), "bfloat16"),
    )
    assert 0 <= layout.nbytes - size.weights_bytes < 8192
    assert size.kv_bytes_per_token == layout.config.kv_bytes_per_token("bfloat16", "cuda")
    assert size.adapter_bytes == 2 * packed_elements(layout.config, 16, ADAPTED)


@pytest.mark.parametrize(
    ("name", "parameters", "kv_bytes"),
    [
        ("llama2-7b", 6_738_415_616, 524_288),
        ("llama3.1-8b", 8_030_261_248, 131_072),
        ("mistral-7b", 7_241_732_096, 131_072),
        ("qwen2.5-7b", 7_615_616_512, 57_344),
        ("qwen3-8b", 8_190_735_360, 147_456),
    ],
)
def test_shapes_of_published_models(name: str, parameters: int, kv_bytes: int) -> None:
    """Parameters are those of the published files."""
    size = model_size(name, "bfloat16", 16, "cuda")
    assert (size.parameters, size.kv_bytes_per_token) == (parameters, kv_bytes)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_directory_with_a_config_alone_has_the_sizes_of_its_preset(shape, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(shape.fields))
    assert config_of(str(tmp_path)) == config_of(shape.name)
    sizes = (model_size(name, "float16", 8, "cuda") for name in (str(tmp_path), shape.name))
    assert next(sizes) == next(sizes)
    assert shape.nbytes == pytest.approx(
        model_size(shape.name, shape.dtype, 8, "cpu").weights_bytes, rel=0.08
    )


def test_what_is_neither_preset_nor_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither a preset"):
        model_size(str(tmp_path / "missing"), "float16", 8, "cuda")
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        model_size(str(tmp_path), "float16", 8, "cuda")
