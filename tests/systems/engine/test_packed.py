"""A packed adapter is the adapter that the loader makes, whatever the shape of its group."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from systems.engine import packed
from systems.engine.adapter import load_adapter, read_adapter
from systems.engine.config import ModelConfig, read_config
from systems.engine.packed import SlotShape, pack, packed_views, unpack
from systems.engine.projections import FUSED, target_shapes
from systems.errors import AdapterError
from systems.models import ensure_adapters

ALL = tuple(target for targets in FUSED.values() for target in targets)
KINDS = {"small": (4, ("q_proj", "v_proj")), "large": (8, ("o_proj", *FUSED["gate_up"]))}


@pytest.fixture(scope="module")
def config(tiny: Path) -> ModelConfig:
    return read_config(tiny)


@pytest.fixture(scope="module")
def folders(tiny: Path) -> dict[str, Path]:
    return {
        kind: ensure_adapters(tiny, ["f0"], rank=rank, targets=targets)["f0"]
        for kind, (rank, targets) in KINDS.items()
    }


@pytest.fixture(scope="module")
def shape(config: ModelConfig) -> SlotShape:
    return SlotShape.of(config, 8, ALL, torch.float32)


@pytest.fixture
def mapped(shape: SlotShape) -> Iterator[Tensor]:
    """A memfd of the packed size, full of other data, as a map that is written to."""
    fd = os.memfd_create("adapter")
    os.ftruncate(fd, shape.nbytes)
    memory = mmap.mmap(fd, shape.nbytes)
    memory.write(b"\xff" * shape.nbytes)
    yield torch.frombuffer(memory, dtype=torch.uint8)
    os.close(fd)


def stacked(groups: Sequence[Sequence[Tensor]], device: torch.device) -> Sequence[Tensor]:
    return [torch.stack(list(each)).to(device) for each in groups]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_packed_is_what_is_loaded_bit_for_bit(
    kind: str, folders: dict[str, Path], config: ModelConfig, shape: SlotShape, mapped: Tensor
) -> None:
    wanted = load_adapter(folders[kind], config, "float32")
    flat = pack(read_adapter(folders[kind], config), shape, mapped)
    assert flat.data_ptr() == mapped.data_ptr()
    found = unpack(flat, shape)
    for mine, loaded in zip(found.layers, wanted.layers, strict=True):
        for name in FUSED:
            delta, theirs = getattr(mine, name), getattr(loaded, name)
            if theirs is None:
                assert delta is None
                continue
            assert torch.equal(delta.a, theirs.a)
            for part, other in zip(delta.parts, theirs.parts, strict=True):
                assert replace(part, b=other.b) == other
                assert torch.equal(part.b, other.b)


@pytest.mark.parametrize("together", [packed.TOGETHER, 1])
def test_matrices_are_moved_many_at_once(
    together: int,
    folders: dict[str, Path],
    config: ModelConfig,
    shape: SlotShape,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packed, "TOGETHER", together)
    moved: list[int] = []

    def move(groups: Sequence[Sequence[Tensor]], device: torch.device) -> Sequence[Tensor]:
        moved.append(sum(map(len, groups)))
        return stacked(groups, device)

    stored = read_adapter(folders["small"], config)
    flat = pack(stored, shape, move=move)
    assert torch.equal(flat, pack(stored, shape))
    halves, targets = 2 * len(stored.pairs), 2 * len(stored.targets)
    assert sum(moved) == halves
    assert len(moved) == (1 if together > 1 else targets), "a target of all layers at least"


def test_layers_whose_matrices_begin_at_other_rows_are_not_packed_together(
    folders: dict[str, Path], config: ModelConfig, shape: SlotShape
) -> None:
    """The rank of q differs by layer, and so does the row at which v begins; its rank does not."""
    stored = read_adapter(folders["small"], config)
    pair = stored.pairs[0, "q_proj"]
    less = replace(pair, a=pair.a[:2].contiguous(), b=pair.b[:, :2].contiguous())
    uneven = replace(stored, pairs={**stored.pairs, (0, "q_proj"): less})

    assert torch.equal(pack(uneven, shape, move=stacked), pack(uneven, shape))


def test_unpacking_copies_nothing(
    folders: dict[str, Path], config: ModelConfig, shape: SlotShape, mapped: Tensor
) -> None:
    flat = pack(read_adapter(folders["large"], config), shape, mapped)
    layers = unpack(flat, shape).layers
    for delta in (getattr(layer, name) for layer in layers for name in ("o", "gate_up")):
        for half in (delta.a, *(part.b for part in delta.parts)):
            assert 0 <= half.data_ptr() - mapped.data_ptr() < shape.nbytes


def test_the_size_is_that_of_the_matrices_and_a_header(
    config: ModelConfig, folders: dict[str, Path]
) -> None:
    rank, targets = KINDS["small"]
    sizes = sum(sum(target_shapes(config)[target]) for target in targets)
    shape = SlotShape.of(config, rank, targets, torch.bfloat16)
    assert 0 < shape.nbytes - 2 * rank * sizes * config.num_layers <= 512
    flat = pack(read_adapter(folders["small"], config), shape)
    assert flat.nbytes == shape.nbytes
    a, b = packed_views(flat, shape)["qkv"]
    assert a.shape[1:] == (2 * rank, config.hidden_size)
    assert b.shape[1:] == (rank, config.q_size + config.kv_size)


def test_layers_that_an_adapter_leaves_out_are_zero(
    folders: dict[str, Path], config: ModelConfig, shape: SlotShape, mapped: Tensor
) -> None:
    stored = read_adapter(folders["small"], config)
    pairs = {key: value for key, value in stored.pairs.items() if key[0] != 1}
    a, b = packed_views(pack(replace(stored, pairs=pairs), shape, mapped), shape)["qkv"]
    assert not bool(a[1].any())
    assert not bool(b[1].any())
    assert bool(a[0].any())


def test_an_adapter_that_does_not_fit_is_refused(
    folders: dict[str, Path], config: ModelConfig
) -> None:
    for small in (
        SlotShape.of(config, 7, ALL, torch.float32),
        SlotShape.of(config, 8, ("o_proj", "up_proj"), torch.float32),
    ):
        with pytest.raises(
            AdapterError, match=r"needs a slot of rank 8 on .*; this one has rank [78] on "
        ):
            pack(read_adapter(folders["large"], config), small)


def test_a_buffer_of_another_size_or_with_impossible_ranks_is_refused(
    folders: dict[str, Path], config: ModelConfig, shape: SlotShape
) -> None:
    flat = pack(read_adapter(folders["small"], config), shape)
    with pytest.raises(ValueError, match=f"{shape.nbytes} are needed"):
        unpack(flat[:-4], shape)
    with pytest.raises(ValueError, match=f"{shape.nbytes} are needed"):
        pack(read_adapter(folders["small"], config), shape, flat[4:])
    for rank in (-1, 9, 1 << 30):
        flat.view(torch.int32)[2] = rank
        with pytest.raises(ValueError, match="0 to 8 are allowed"):
            unpack(flat, shape)
