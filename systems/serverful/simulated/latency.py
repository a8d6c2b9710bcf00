"""The latency model of a replica: durations by a profile, in ns at a resource's full speed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from systems.models.sizes import ModelSize
from systems.simulation.engine_numbers import Servers
from systems.simulation.latency_model import LatencyModel
from systems.simulation.profile import Profile


@dataclass(frozen=True)
class ReplicaLatencyModel:
    """For the replicas of one backbone. ``latency``: of unmerged batches."""

    latency: LatencyModel
    servers: Servers

    @classmethod
    def of(cls, profile: Profile, size: ModelSize, dtype: str) -> ReplicaLatencyModel:
        servers, grouped, own = profile.of_servers(dtype)
        return cls(LatencyModel.of_grouped(grouped, own, size), servers)

    @property
    def size(self) -> ModelSize:
        return self.latency.size

    def prefill_ns(self, tokens: Collection[int], adapters: Collection[str], merged: bool) -> float:
        """Return the prefill time of prompts of ``tokens`` lengths for these ``adapters``."""
        unmerged = self.latency.batch_ns(tokens, len(adapters))
        return unmerged * self._share(adapters, merged)

    def step_by_context(
        self, requests: int, adapters: Collection[str], merged: bool
    ) -> Callable[[float], float]:
        """Return the time in ns of one decode step as a function of the cached tokens in total."""
        unmerged = self.latency.step_by_context(requests, len(adapters))
        share = self._share(adapters, merged)
        return lambda context: unmerged(context) * share

    def _share(self, adapters: Collection[str], merged: bool) -> float:
        """A merged batch computes no additions, and neither does a batch of the bare backbone, so
        both take the same share."""
        return self.servers.merged_share.value if merged or not adapters else 1.0

    def switch_ns(self, before: str | None, after: str | None) -> float:
        """Return the time to unmerge ``before`` and merge ``after``; None: no adapter."""
        moves = (before is not None) + (after is not None)
        return moves * self.servers.switch_steps.value * self.latency.step_ns(1)

    def move_ns(self, tokens: int) -> float:
        """Return the time to move the keys and values of ``tokens`` between replicas, over the link
        that also loads adapters."""
        link = self.latency.profile.adapter_bytes_per_s.value
        return tokens * self.size.kv_bytes_per_token / link * 1e9

    def hold_ns(self) -> float:
        """Return the time to parse an adapter and load it."""
        return self.latency.parse_ns() + self.latency.adapter_ns()

    def timings(self) -> Mapping[str, float]:
        """Return what a replica measures before it serves (``inhouse/profiling.py``)."""
        step_ns = self.latency.step_ns(1)
        return {
            "merged_s": step_ns * self.servers.merged_share.value / 1e9,
            "unmerged_s": step_ns / 1e9,
            "switch_s": step_ns * self.servers.switch_steps.value / 1e9,
            "load_s": self.hold_ns() / 1e9,
        }

    def startup_s(self, adapters: int) -> float:
        """Return the time from start to ready with ``adapters`` adapters."""
        profile = self.latency.profile
        fixed_s = profile.process_s.value + profile.libraries_s.value + profile.kernels_s.value
        return (
            fixed_s
            + (self.latency.backbone_ns(cached=False, private=True) + adapters * self.hold_ns())
            / 1e9
        )
