"""What the controller knows of a function before its first request, from a profile."""

from __future__ import annotations

from dataclasses import replace

from systems.simulation.latency_model import LatencyModel

from ..core.artifacts import Artifact
from ..core.cluster_spec import BatchLatency
from ..sizing import FunctionSize

PRIOR_PROMPT_TOKENS = 128
"""Prompt length for which T(b) is profiled."""


def function_size(latency: LatencyModel) -> FunctionSize:
    """Return the bytes of a function, and the durations that are known if its profile says that
    functions are profiled offline."""
    size = FunctionSize(
        adapter_bytes=latency.size.adapter_bytes,
        kv_bytes_per_token=latency.size.kv_bytes_per_token,
    )
    if not latency.profile.profiled_offline:
        return size
    return replace(
        size,
        law=batch_law(latency, PRIOR_PROMPT_TOKENS),
        step_ns=round(latency.step_ns(1)),
        delay_ns=delays_ns(latency),
        peer_ns=round(latency.peer_ns()),
    )


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
