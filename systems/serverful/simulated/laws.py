"""How long a replica's work takes by a profile, in ns of what it computes on at full speed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from systems.models.sizes import ModelSize
from systems.simulation.latency_model import Laws
from systems.simulation.profile import Profile
from systems.simulation.servers import Servers


@dataclass(frozen=True)
class ReplicaLaws:
    """Of replicas of one backbone. ``laws``: of a batch of one adapter, unmerged."""

    laws: Laws
    servers: Servers

    @classmethod
    def of(cls, profile: Profile, size: ModelSize, dtype: str) -> ReplicaLaws:
        servers, own = profile.of_servers(dtype)
        return cls(Laws(own, size, tiered=False), servers)

    @property
    def size(self) -> ModelSize:
        return self.laws.size

    def prefill_ns(self, tokens: Collection[int], adapters: Collection[str], merged: bool) -> float:
        """Of a batch of prompts that are so many ``tokens`` long, for these ``adapters``."""
        alone = self.laws.prefill_ns(len(tokens), sum(tokens))
        return alone * self._share(adapters, merged)

    def step_ns(self, requests: int, adapters: Collection[str], merged: bool) -> float:
        return self.laws.step_ns(requests) * self._share(adapters, merged)

    def _share(self, adapters: Collection[str], merged: bool) -> float:
        """Where nothing is added to the products, as a merged batch has it, neither is for the
        bare backbone."""
        if merged or not adapters:
            return self.servers.merged_share.value
        return 1 + self.servers.adapter_share.value * (len(adapters) - 1)

    def switch_ns(self, before: str | None, after: str | None) -> float:
        """To have ``after`` merged in the place of ``before``; None: no adapter."""
        moves = (before is not None) + (after is not None)
        return moves * self.servers.switch_steps.value * self.laws.step_ns(1)

    def move_ns(self, tokens: int) -> float:
        """Of the keys and values of so many tokens, from replica to replica, by the link that
        adapters come by."""
        link = self.laws.profile.adapter_bytes_per_s.value
        return tokens * self.size.kv_bytes_per_token / link * 1e9

    def timings(self) -> Mapping[str, float]:
        """What a replica measures of itself before it serves (``inhouse/profiling.py``)."""
        step_ns = self.laws.step_ns(1)
        return {
            "merged_s": step_ns * self.servers.merged_share.value / 1e9,
            "unmerged_s": step_ns / 1e9,
            "switch_s": step_ns * self.servers.switch_steps.value / 1e9,
            "load_s": self.laws.adapter_ns() / 1e9,
        }

    def startup_s(self, adapters: int) -> float:
        """From nothing to ready, with so many adapters."""
        profile = self.laws.profile
        fixed_s = profile.process_s.value + profile.libraries_s.value + profile.kernels_s.value
        return fixed_s + (self.laws.backbone_ns() + adapters * self.laws.adapter_ns()) / 1e9
