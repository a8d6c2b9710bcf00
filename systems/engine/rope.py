"""Rotary position embedding, half-split as in Hugging Face's Llama."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .config import ModelConfig, Rope


def rope_tables(config: ModelConfig, positions: int) -> tuple[Tensor, Tensor]:
    """Return cos and signed sin, each (positions, head_dim), float32. sin includes the sign of
    rotate_half, so x·cos + swap_halves(x)·sin rotates."""
    frequencies = _scaled(_base_frequencies(config), config.rope)
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * frequencies
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), 1), torch.cat((-sin, sin), 1)


def rotate_(x: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Rotate ``x`` (tokens, heads, head_dim) in place; ``cos``, ``sin``: (tokens, 1, head_dim)."""
    swapped = x.roll(x.shape[-1] // 2, -1)
    x.mul_(cos).addcmul_(swapped, sin)


def _base_frequencies(config: ModelConfig) -> Tensor:
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.int64).float() / config.head_dim
    powers: Tensor = config.rope.theta**exponents
    return 1.0 / powers


def _scaled(frequencies: Tensor, rope: Rope) -> Tensor:
    return _SCALING[rope.kind](frequencies, rope)


def _llama3(frequencies: Tensor, rope: Rope) -> Tensor:
    """Llama 3.1: stretch long wavelengths by ``factor``, keep short ones, blend those between
    (Hugging Face ``_compute_llama3_parameters``)."""
    context = rope.original_max_position_embeddings
    wavelengths = 2 * math.pi / frequencies
    blend = (context / wavelengths - rope.low_freq_factor) / (
        rope.high_freq_factor - rope.low_freq_factor
    )
    smoothed = (1 - blend) * frequencies / rope.factor + blend * frequencies
    stretched = torch.where(
        wavelengths > context / rope.low_freq_factor, frequencies / rope.factor, smoothed
    )
    return torch.where(wavelengths < context / rope.high_freq_factor, frequencies, stretched)


_SCALING: dict[str, Callable[[Tensor, Rope], Tensor]] = {
    "default": lambda frequencies, rope: frequencies,  # noqa: ARG005
    "linear": lambda frequencies, rope: frequencies / rope.factor,
    "llama3": _llama3,
}
