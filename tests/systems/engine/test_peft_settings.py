"""Settings mean what they mean to peft, for random ones that peft accepts; what is not computed is
refused in one line that names it."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from systems.engine import adapter_rules
from systems.engine.adapter import load_adapter, read_adapter
from systems.engine.adapter_files import WEIGHTS, inspect_adapter
from systems.engine.adapter_settings import _FIELDS, _OF_TRAINING, CONFIG
from systems.engine.checkpoint import BackboneLayout
from systems.engine.cross import CrossEngine
from systems.engine.cuda.cross import CudaCrossEngine
from systems.engine.cuda.table import AdapterTable
from systems.engine.engine import Engine
from systems.engine.packed import SlotShape, pack
from systems.engine.patterns import Steps
from systems.engine.projections import BLOCKS, module_name
from systems.engine.weights import BackboneWeights
from systems.errors import AdapterError

from .conftest import load_backbone, load_oracle
from .driving import answer, left_padded, prompts
from .micro import LAYERS, VOCABULARY, make_adapter, make_model

LIMITS = {"max_batch_size": 4, "max_context_tokens": 48}
PLACE = (9, tuple(BLOCKS))
"""Rank and targets of the places: larger than any of the adapters."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("micro"))


@pytest.fixture(scope="module")
def micro(model: Path) -> tuple[BackboneLayout, BackboneWeights]:
    return load_backbone(model, "float32")


NAMES = st.sampled_from([*BLOCKS, "self_attn.q_proj", "layers.1.mlp.up_proj", "mlp.down_proj"])
PATTERNS = st.sampled_from(
    [
        *BLOCKS,
        r".*\.(q|v|down)_proj",
        r"model\.layers\.[02]\..*proj",
        r"(?!.*layers\.1\.).*(?:self_attn|mlp)\.\w+_proj",
        "all-linear",
        "ALL-linear",
    ]
)
KEYS = st.sampled_from(
    [
        *BLOCKS,
        "mlp.up_proj",
        "self_attn.*",
        r".*layers\.1\..*",
        "model.layers.2.mlp.down_proj",
        "^model.layers.0.self_attn.q_proj",
        "k_proj|v_proj",
        "proj",
        "layers.[12].+",
    ]
)


def layers_of(draw: Any) -> dict[str, Any]:
    """Draw which layers: some, one, or all in one of the ways to say so."""
    some = st.one_of(
        st.lists(st.integers(0, LAYERS), max_size=LAYERS), st.integers(0, LAYERS - 1), st.none()
    )
    layers = draw(some)
    if layers is None:
        return {}
    pattern = draw(st.sampled_from([None, "layers", ["blocks", "layers"], "model.layers"]))
    return {"layers_to_transform": layers, "layers_pattern": pattern}


def by_pattern(values: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, int]]:
    """The first key that matches counts, and peft sorts them when it saves the settings."""
    return st.dictionaries(KEYS, values, max_size=3).map(lambda each: dict(sorted(each.items())))


@st.composite
def loras(draw: Any) -> dict[str, Any]:
    """Draw arguments of peft's ``LoraConfig``."""
    by_name = draw(st.booleans())
    several = st.lists(NAMES, min_size=1, max_size=5, unique=True)
    return {
        "r": draw(st.integers(1, 8)),
        "lora_alpha": draw(st.integers(1, 16)),
        "use_rslora": draw(st.booleans()),
        "target_modules": draw(several if by_name else PATTERNS),
        "exclude_modules": draw(st.one_of(st.none(), NAMES.map(lambda each: [each]), NAMES)),
        "rank_pattern": draw(by_pattern(st.integers(1, 9))),
        "alpha_pattern": draw(by_pattern(st.integers(1, 32))),
        **(layers_of(draw) if by_name else {}),
    }


def stored_as(folder: Path, dtype: torch.dtype) -> None:
    tensors = load_file(folder / WEIGHTS)
    save_file({name: each.to(dtype) for name, each in tensors.items()}, folder / WEIGHTS)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=loras(), dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
@example(
    told={
        "r": 4,
        "lora_alpha": 8,
        "target_modules": "all-linear",
        "rank_pattern": {"layers.1.mlp.*": 9, "q_proj": 1},
        "alpha_pattern": {"mlp.up_proj": 3, ".*layers.1.*": 5},
    },
    dtype=torch.float16,
)
def test_random_settings_give_what_peft_gives(
    told: dict[str, Any],
    dtype: torch.dtype,
    model: Path,
    micro: tuple[BackboneLayout, BackboneWeights],
) -> None:
    (layout, weights), batch = micro, prompts((5, 9), VOCABULARY)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        try:
            make_adapter(model, folder, **told)
        except ValueError:  # peft finds nothing to adapt
            return
        stored_as(folder, dtype)
        oracle = load_oracle(model, folder)
        wanted = {
            name.removeprefix("base_model.model."): (each.r["default"], each.scaling["default"])
            for name, each in oracle.named_modules()
            if hasattr(each, "lora_A")
        }
        found = inspect_adapter(folder, layout.config).loras
        assert {module_name(e): (lora.rank, lora.scaling) for e, lora in found.items()} == wanted
        tokens = left_padded(oracle, batch, 6)
        alone = load_adapter(folder, layout.config, "float32")
        assert answer(Engine(layout.config, weights, alone, **LIMITS), batch, 6) == tokens
        shape = SlotShape.of(layout.config, *PLACE, torch.float32)
        packed = pack(read_adapter(folder, layout.config), shape)
        for engine in (
            CrossEngine(layout.config, weights, shape, 1, **LIMITS),
            CudaCrossEngine(layout.config, weights, AdapterTable(shape, 1, "cpu"), **LIMITS),
        ):
            engine.hold("f", packed)
            assert answer(engine, batch, 6, adapter="f") == tokens


BASE = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]}


@pytest.fixture(scope="module")
def plain(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(model, tmp_path_factory.mktemp("plain"), **BASE)


@pytest.fixture
def copy(plain: Path, tmp_path: Path) -> Path:
    return shutil.copytree(plain, tmp_path / "adapter")


def refused(folder: Path, layout: BackboneLayout) -> str:
    with pytest.raises(AdapterError) as refusal:
        inspect_adapter(folder, layout.config)
    line = str(refusal.value)
    assert line.isprintable()
    assert len(line) < 500
    assert str(folder) in line
    return line


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"use_dora": True}, "use_dora is set, which the engine does not compute"),
        ({"lora_bias": True}, "lora_bias is set"),
        ({"bias": "all"}, "bias must be none"),
        ({"bias": "lora_only"}, "bias must be none"),
        ({"target_modules": ["q_proj", "lm_head"]}, "target_modules has lm_head; the engine"),
        ({"target_modules": ["embed_tokens"]}, "target_modules has model.embed_tokens"),
        ({"target_modules": ".*(q_proj|lm_head)"}, "target_modules has lm_head"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is set"),
        ({"trainable_token_indices": [1, 2]}, "trainable_token_indices is set"),
        ({"layer_replication": [[0, 2], [1, 3]]}, "layer_replication is set"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out is set"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights must be one that leaves"),
        ({"init_lora_weights": "olora"}, "init_lora_weights must be one that leaves"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens is set"),
    ],
)
def test_what_the_engine_does_not_compute_is_refused_as_peft_saves_it(
    told: dict[str, Any],
    says: str,
    model: Path,
    micro: tuple[BackboneLayout, BackboneWeights],
    tmp_path: Path,
) -> None:
    make_adapter(model, tmp_path, **{**BASE, **told})
    if told == {"fan_in_fan_out": True}:  # peft unsets it on linear layers
        set_config(tmp_path, **told)
    assert says in refused(tmp_path, micro[0])


def set_config(folder: Path, **changes: Any) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


EVIL = "(?:.*(?:(?=(?:.(?=(?:.(?=.*).)*).)*).)*)*x"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target_modules": None}, "target_modules must be names or a pattern, got None"),
        ({"target_modules": []}, "target_modules must be"),
        ({"target_modules": ["q_proj", 5]}, "target_modules must be"),
        ({"target_modules": ["x"] * 5000}, "target_modules must be"),
        ({"target_modules": EVIL}, "takes too long to match"),
        ({"target_modules": "("}, "is no regular expression"),
        ({"target_modules": "x" * 20_000}, "10000 are allowed"),
        ({"alpha_pattern": {EVIL: 2}}, "alpha_pattern: '(?:.*(?:(?=("),
        ({"target_modules": ["q_proj"]}, "has weights of model.layers.0.mlp.down_proj, which"),
        ({"target_modules": ["z_proj"]}, "has weights of model.layers.0.mlp.down_proj, which"),
        ({"target_modules": [*BASE["target_modules"], "o_proj"]}, "has no weights of model.layers"),
        ({"exclude_modules": EVIL}, "takes too long to match"),
        ({"exclude_modules": {"q_proj": 1}}, "exclude_modules must be"),
        ({"exclude_modules": ["layers.1.mlp.down_proj"]}, "has weights of model.layers.1.mlp"),
        ({"layers_to_transform": [0, 1]}, "has weights of model.layers.2.mlp.down_proj, which"),
        ({"layers_to_transform": [0] * 5000}, "layers_to_transform must be"),
        ({"layers_to_transform": [0, True]}, "layers_to_transform must be"),
        ({"layers_pattern": "layers"}, "layers_pattern needs layers_to_transform"),
        (
            {"layers_pattern": "(layers|.*)*", "layers_to_transform": 0},
            "layers_pattern must be a name",
        ),
        (
            {"target_modules": ".*_proj", "layers_to_transform": [0]},
            "layers_to_transform needs a list of target_modules",
        ),
        ({"rank_pattern": {EVIL: 2}}, "takes too long to match"),
        ({"rank_pattern": {"q_proj": 0}}, "rank_pattern must be positive whole numbers"),
        ({"rank_pattern": {"q_proj": "4"}}, "rank_pattern must be"),
        ({"rank_pattern": {"q_proj": 1 << 40}}, "rank_pattern must be"),
        ({"rank_pattern": [4]}, "rank_pattern must be"),
        ({"rank_pattern": {str(each): 1 for each in range(5000)}}, "rank_pattern must be"),
        ({"rank_pattern": {"q_proj": 5}}, "rank 5 on this backbone needs [5, 32]"),
        ({"alpha_pattern": {"q_proj": float("nan")}}, "alpha_pattern must be positive, finite"),
        ({"alpha_pattern": {"(?<=x)q": 1}}, "looks behind, which is not supported"),
        ({"alpha_pattern": {r"(.)\1": 1}}, "groupref, which is not supported"),
        ({"init_lora_weights": {"pissa": 1}}, "init_lora_weights must be"),
        ({"new_method": {"strength": 3}}, "new_method is set, which the engine does not compute"),
        ({"x" * 9000 + "\n": 1}, "is set, which the engine does not compute"),
    ],
)
def test_settings_that_say_something_else_than_the_weights_are_refused(
    changes: dict[str, Any],
    says: str,
    copy: Path,
    micro: tuple[BackboneLayout, BackboneWeights],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adapter_rules, "Steps", partial(Steps, 50_000))
    set_config(copy, **changes)
    assert says in refused(copy, micro[0])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("model.layers.00.self_attn.q_proj.lora_A", "is not a LoRA of a layer's projection"),
        ("model.layers.0.mlp.q_proj.lora_A", "is not a LoRA of a layer's projection"),
        ("model.layers.٣.self_attn.q_proj.lora_A", "is not a LoRA of a layer's projection"),
        ("model.layers.0.self_attn.q_proj.lora_magnitude_vector", "is not a LoRA"),
        ("lm_head", "is not a LoRA"),
    ],
)
def test_weights_of_anything_else_are_refused(
    name: str, says: str, copy: Path, micro: tuple[BackboneLayout, BackboneWeights]
) -> None:
    tensors = load_file(copy / WEIGHTS)
    tensors[f"base_model.model.{name}.weight"] = torch.zeros(4, 32)
    save_file(tensors, copy / WEIGHTS)
    assert says in refused(copy, micro[0])


def test_every_setting_of_peft_is_known_or_refused(
    copy: Path, micro: tuple[BackboneLayout, BackboneWeights]
) -> None:
    """A later peft may have settings that change what an adapter computes."""
    from peft import LoraConfig

    fields = {field.name for field in dataclasses.fields(LoraConfig)} - {"runtime_config"}
    assert fields >= _FIELDS.keys()
    for name in sorted(fields - _FIELDS.keys() - _OF_TRAINING):
        set_config(copy, **{name: True})
        assert f"{name} is set" in refused(copy, micro[0])
        set_config(copy, **{name: None})
    inspect_adapter(copy, micro[0].config)


def test_a_place_says_which_rank_an_adapter_needs(
    copy: Path, micro: tuple[BackboneLayout, BackboneWeights]
) -> None:
    config = micro[0].config
    shape = SlotShape.of(config, 3, BLOCKS, torch.float32)
    with pytest.raises(AdapterError, match=r"needs a slot of rank 4 .*; this one has rank 3 on"):
        pack(read_adapter(copy, config), shape)
