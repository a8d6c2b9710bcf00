"""The forms of adapters that people train: how peft is asked for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Settings = Callable[[int, int], dict[str, Any]]
"""Takes a rank and the backbone's number of layers; returns arguments of peft's ``LoraConfig``."""

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


@dataclass(frozen=True, slots=True)
class AdapterForm:
    """``settings`` name the largest rank, which is that of some projection; ``dtype``: of the
    stored weights."""

    name: str
    summary: str
    settings: Settings
    dtype: str = "float32"


def _plain(rank: int, layers: int) -> dict[str, Any]:  # noqa: ARG001
    return {"r": rank, "lora_alpha": 2 * rank, "target_modules": list(ATTENTION)}


def _all_linear(rank: int, layers: int) -> dict[str, Any]:
    return {**_plain(rank, layers), "target_modules": "all-linear"}


def _ranks_by_pattern(rank: int, layers: int) -> dict[str, Any]:
    half, quarter = max(1, rank // 2), max(1, rank // 4)
    return {
        **_all_linear(rank, layers),
        "rank_pattern": {r"layers\.0\.mlp\.\w+": half, "k_proj|v_proj": quarter},
        "alpha_pattern": {"mlp.down_proj": 3 * rank, r"model\.layers\.1\..*": half},
    }


def _some_layers(rank: int, layers: int) -> dict[str, Any]:
    return {
        **_plain(rank, layers),
        "target_modules": ["q_proj", "mlp.down_proj"],
        "layers_to_transform": list(range(1, layers, 2)),
        "layers_pattern": "layers",
    }


def _by_regex(rank: int, layers: int) -> dict[str, Any]:
    return {
        **_plain(rank, layers),
        "target_modules": r"^(?!.*layers\.2\.).*(?:self_attn|mlp)\.(?:q|v|up)_proj",
        "exclude_modules": ["layers.0.self_attn.v_proj"],
    }


def _rank_stabilized(rank: int, layers: int) -> dict[str, Any]:
    return {**_all_linear(rank, layers), "lora_alpha": rank, "use_rslora": True}


FORMS: Mapping[str, AdapterForm] = {
    form.name: form
    for form in (
        AdapterForm("plain", "one rank on q, k, v and o of all layers", _plain),
        AdapterForm("all-linear", "all projections of all layers", _all_linear),
        AdapterForm("ranks-by-pattern", "rank_pattern and alpha_pattern", _ranks_by_pattern),
        AdapterForm("some-layers", "layers_to_transform and layers_pattern", _some_layers),
        AdapterForm("by-regex", "target_modules as a pattern, exclude_modules", _by_regex),
        AdapterForm("rank-stabilized", "use_rslora: alpha / √rank", _rank_stabilized),
        AdapterForm("half", "stored as bfloat16", _plain, "bfloat16"),
    )
}
