"""The controller's initial estimates of a function, from a profile."""

from __future__ import annotations

from systems.simulation.latency_model import LatencyModel

from ..core.artifacts import Artifact
from ..core.cluster_spec import BatchLatency


def batch_law(latency: LatencyModel, prompt_tokens: int) -> BatchLatency:
    """Return T(b) = T0 + α(b − 1) for prompts of this length, in ns."""
    first, second = (latency.batch_ns([prompt_tokens] * b) for b in (1, 2))
    return BatchLatency(round(first), round(second - first))


def delays_ns(latency: LatencyModel) -> dict[Artifact, int]:
    """Return the loading delay of each artifact in ns. That of an adapter is of one that is parsed
    already, if adapters are parsed at all."""
    profile = latency.profile
    kernels_s = profile.kernels_s.value + profile.first_batch_s.value
    return {
        Artifact.LIBRARIES: round(profile.libraries_s.value * 1e9),
        Artifact.BACKBONE: round(latency.backbone_ns(cached=False, private=False)),
        Artifact.ADAPTER: round(latency.adapter_ns()),
        Artifact.KERNELS: round(kernels_s * 1e9),
    }
