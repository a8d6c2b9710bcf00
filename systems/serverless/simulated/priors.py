"""The controller's initial estimates of a function, from a profile."""

from __future__ import annotations

from systems.simulation.latency_model import Laws

from ..core.artifacts import Artifact
from ..core.world import BatchLaw


def batch_law(laws: Laws, prompt_tokens: int) -> BatchLaw:
    """Return T(b) = T0 + α(b − 1) for prompts of this length, in ns."""
    first, second = (laws.prefill_ns(b, b * prompt_tokens) for b in (1, 2))
    return BatchLaw(round(first), round(second - first))


def delays_ns(laws: Laws) -> dict[Artifact, int]:
    """Return the loading delay of each artifact in ns."""
    profile = laws.profile
    kernels_s = profile.kernels_s.value + profile.first_batch_s.value
    return {
        Artifact.LIBRARIES: round(profile.libraries_s.value * 1e9),
        Artifact.BACKBONE: round(laws.backbone_ns()),
        Artifact.ADAPTER: round(laws.adapter_ns()),
        Artifact.KERNELS: round(kernels_s * 1e9),
    }
