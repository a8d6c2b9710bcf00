"""The latency model: durations of work by a profile, in ns at a resource's full speed."""

from __future__ import annotations

from dataclasses import dataclass

from systems.models.sizes import ModelSize

from .profile import Profile


@dataclass(frozen=True)
class LatencyModel:
    """Durations of one function's work. ``tiered``: checkpoints are in the host's memory tier."""

    profile: Profile
    size: ModelSize
    tiered: bool

    def prefill_ns(self, requests: int, tokens: int) -> float:
        """Return the prefill time of ``requests`` with ``tokens`` prompt tokens in total."""
        profile = self.profile
        token_s = profile.prefill_token_s_per_gparam.value * self.size.parameters / 1e9
        seconds = (
            profile.prefill_s.value + profile.prefill_request_s.value * requests + token_s * tokens
        )
        return seconds * 1e9

    def step_ns(self, requests: int) -> float:
        """Return the time of one decode step for ``requests``."""
        profile = self.profile
        seconds = (
            profile.decode_s.value
            + profile.decode_request_s.value * requests
            + self.size.weights_bytes / profile.decode_bytes_per_s.value
        )
        return seconds * 1e9

    def backbone_ns(self) -> float:
        profile = self.profile
        bandwidth = profile.tier_bytes_per_s if self.tiered else profile.disk_bytes_per_s
        return self.size.weights_bytes / bandwidth.value * 1e9

    def adapter_ns(self) -> float:
        profile = self.profile
        copy_s = self.size.adapter_bytes / profile.adapter_bytes_per_s.value
        return (profile.adapter_s.value + copy_s) * 1e9
