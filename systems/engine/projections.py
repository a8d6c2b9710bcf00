"""The projections of a decoder layer that adapters may change: names, shapes and order."""

from __future__ import annotations

from .config import ModelConfig

FUSED = {
    "qkv": ("q_proj", "k_proj", "v_proj"),
    "o": ("o_proj",),
    "gate_up": ("gate_proj", "up_proj"),
    "down": ("down_proj",),
}
"""The targets of each fused projection, in row order."""

BLOCKS = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), "self_attn"),
    **dict.fromkeys(("gate_proj", "up_proj", "down_proj"), "mlp"),
}
"""Target → the module of a layer that it is in, as transformers names it."""

Projection = tuple[int, str]
"""A layer and a target."""


def target_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Return (out, in) of every projection that an adapter may change, by its peft name."""
    hidden, inner = config.hidden_size, config.intermediate_size
    return {
        "q_proj": (config.q_size, hidden),
        "k_proj": (config.kv_size, hidden),
        "v_proj": (config.kv_size, hidden),
        "o_proj": (hidden, config.q_size),
        "gate_proj": (inner, hidden),
        "up_proj": (inner, hidden),
        "down_proj": (hidden, inner),
    }


def module_name(projection: Projection) -> str:
    """Return the name of a projection in transformers' model."""
    layer, target = projection
    return f"model.layers.{layer}.{BLOCKS[target]}.{target}"


def projections(config: ModelConfig) -> dict[str, Projection]:
    """Return every projection that an adapter may change, by its name in transformers' model."""
    every = ((layer, target) for layer in range(config.num_layers) for target in BLOCKS)
    return {module_name(each): each for each in every}
