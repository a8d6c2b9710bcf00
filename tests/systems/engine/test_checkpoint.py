"""A checkpoint gets a layout for sharing and is read exactly, or is refused in one line."""

from __future__ import annotations

import json
import mmap
import shutil
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from systems.engine.checkpoint import (
    BackboneLayout,
    fill,
    pieces,
    plan_layout,
    validate_checkpoint,
)
from systems.engine.direct_io import read
from systems.engine.weights import BackboneWeights
from systems.errors import CheckpointError


def stored(model: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in model.glob("*.safetensors"):
        found |= load_file(path)
    return found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_tensor_arrives_bit_for_bit_or_rounded_to_the_asked_dtype(
    dtype: str, tiny: Path
) -> None:
    layout = plan_layout(tiny, dtype)
    buffer = bytearray(layout.nbytes)
    fill(layout, tiny, memoryview(buffer))
    wanted = getattr(torch, dtype)
    for name, tensor in stored(tiny).items():
        offset, shape = layout.tensors[name]
        seen = torch.frombuffer(buffer, dtype=wanted, count=tensor.numel(), offset=offset)
        assert torch.equal(seen.view(shape), tensor.to(wanted))


def test_pieces_are_the_whole_checkpoint(tiny: Path) -> None:
    layout = plan_layout(tiny, "float32")
    whole, pieced = bytearray(layout.nbytes), bytearray(layout.nbytes)
    fill(layout, tiny, memoryview(whole))
    found = pieces(layout, tiny, 100_000)
    assert found is not None
    assert max(piece.nbytes for piece in found) == 100_000
    for piece in found:
        with piece.path.open("rb") as file:
            read(file.fileno(), piece, memoryview(pieced)[piece.at :])
    assert pieced == whole
    assert pieces(plan_layout(tiny, "float16"), tiny, 100_000) is None


def test_a_piece_of_a_file_that_became_shorter_is_an_error(tiny: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    layout = plan_layout(copy, "float32")
    *_, last = pieces(layout, copy, 1 << 20) or ()
    with last.path.open("rb+") as file:
        file.truncate(last.offset + 10)
        with pytest.raises(CheckpointError, match="ends before"):
            read(file.fileno(), last, memoryview(bytearray(last.nbytes)))


def test_fused_projections_are_views_of_the_buffer(tiny: Path) -> None:
    layout = plan_layout(tiny, "float32")
    buffer = bytearray(layout.nbytes)
    fill(layout, tiny, memoryview(buffer))
    weights = BackboneWeights.from_buffer(layout, buffer)
    tensors = stored(tiny)
    layer = weights.layers[2]
    parts = [tensors[f"model.layers.2.self_attn.{part}_proj.weight"] for part in "qkv"]
    assert torch.equal(layer.qkv, torch.cat(parts))
    up = [tensors[f"model.layers.2.mlp.{part}_proj.weight"] for part in ("gate", "up")]
    assert torch.equal(layer.gate_up, torch.cat(up))
    start = torch.frombuffer(buffer, dtype=torch.uint8).data_ptr()
    for tensor in (layer.qkv, layer.gate_up, layer.down, weights.embedding, weights.head):
        assert start <= tensor.data_ptr() < start + layout.nbytes
        assert (tensor.data_ptr() - start) % 64 == 0


def test_a_layout_survives_json(tiny: Path) -> None:
    layout = plan_layout(tiny, "bfloat16")
    assert BackboneLayout.from_json(layout.to_json()) == layout
    assert layout.nbytes % 4096 == 0


def test_tied_embeddings_are_stored_once(tiny: Path, tmp_path: Path) -> None:
    model = edited(tiny, tmp_path, tie_word_embeddings=True)
    layout = plan_layout(model, "float32")
    assert "lm_head.weight" not in layout.tensors
    weights = BackboneWeights.from_buffer(layout, bytearray(layout.nbytes))
    assert weights.head.data_ptr() == weights.embedding.data_ptr()


def test_a_read_only_mapping_gives_weights_without_a_warning(tiny: Path, tmp_path: Path) -> None:
    layout = plan_layout(tiny, "float32")
    path = tmp_path / "backbone"
    path.write_bytes(bytes(layout.nbytes))
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights = BackboneWeights.from_buffer(layout, mapping)
    assert weights.embedding.shape == (1024, 256)


def edited(tiny: Path, tmp_path: Path, **changes: object) -> Path:
    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **changes}))
    return model


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "gemma"}, "'gemma'; the engine runs llama, mistral, qwen2, qwen3"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"attention_bias": True}, "attention_bias"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2}}, "rope"),
        ({"num_hidden_layers": 5}, r"layers\.4.* is missing"),
        ({"intermediate_size": 512}, "has shape"),
        ({"num_key_value_heads": 3}, "no multiple"),
        ({"vocab_size": None}, "vocab_size"),
        ({"hidden_size": "big"}, "hidden_size"),
    ],
)
def test_a_config_that_the_engine_cannot_run_is_refused(
    changes: dict[str, object], says: str, tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=says) as refusal:
        validate_checkpoint(edited(tiny, tmp_path, **changes))
    assert "\n" not in str(refusal.value)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff" * 5000)


def bad_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 20) + b"{" * 20 + bytes(100))


def huge_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 1 << 60) + bytes(100))


def no_header(path: Path) -> None:
    path.write_bytes(b"abc")


def integers(path: Path) -> None:
    tensors = load_file(path)
    save_file({name: tensor.to(torch.int32) for name, tensor in tensors.items()}, path)


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("harm", [cut, garbage, bad_header, huge_header, no_header, integers, gone])
def test_a_harmed_shard_is_refused_from_its_header(
    harm: Callable[[Path], None], tiny: Path, tmp_path: Path
) -> None:
    model = edited(tiny, tmp_path)
    harm(sorted(model.glob("*.safetensors"))[1])
    with pytest.raises(CheckpointError, match="model") as refusal:
        plan_layout(model, "float32")
    assert "\n" not in str(refusal.value)


def test_pickled_weights_are_refused(tiny: Path, tmp_path: Path) -> None:
    model = edited(tiny, tmp_path)
    for path in model.glob("model*"):
        path.unlink()
    (model / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match="pickled"):
        validate_checkpoint(model)


def test_a_directory_that_is_no_model_and_an_unknown_dtype_are_refused(
    tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        validate_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="int3"):
        plan_layout(tiny, "int3")


def test_a_checkpoint_that_shrank_since_planning_is_refused(tiny: Path, tmp_path: Path) -> None:
    model = edited(tiny, tmp_path)
    layout = plan_layout(model, "float32")
    cut(sorted(model.glob("*.safetensors"))[-1])
    with pytest.raises(CheckpointError, match="cut short"):
        fill(layout, model, memoryview(bytearray(layout.nbytes)))


def test_planning_imports_no_torch() -> None:
    import subprocess
    import sys

    program = (
        "import sys; import systems.engine.checkpoint, systems.engine.adapter_files;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
