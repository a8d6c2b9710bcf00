"""The options of the in-tree serverful systems."""

from __future__ import annotations

import os
from typing import Literal, Self

from pydantic import PositiveFloat, PositiveInt

from systems.interface import Deployment
from systems.options import SystemOptions


class Options(SystemOptions):
    """An option that is None is chosen for the deployment."""

    replicas: PositiveInt | Literal["per-device", "one-a-device"] = 1
    """Processes per backbone, each with its own copy of the weights; those of all backbones are on
    the devices in turn. ``per-device``: one of each backbone on each device; ``one-a-device``: as
    many of each backbone as put one on each device."""
    max_num_seqs: PositiveInt | None = None
    """Requests in one batch; None: batch limit × functions of the backbone, as for vLLM."""
    max_adapters: PositiveInt | None = None
    """Adapters that a replica holds at once; None: all."""
    threads: PositiveInt | None = None
    """CPU threads of a replica; None: the machine's cores divided by the replicas."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Data type of the stored weights; None: what the system needs, else the deployment's."""
    migration_interval_s: PositiveFloat = 1.0
    """Time between two checks for migration, in a scheme that migrates."""
    start_timeout_s: PositiveFloat = 120.0

    @classmethod
    def of(cls, deployment: Deployment, system: str) -> Self:
        """Return the options of a deployment, with the number of replicas on its devices."""
        found = cls.read(deployment, system)
        devices = len(deployment.devices)
        backbones = len({each.backbone for each in deployment.functions})
        counts = {"per-device": devices, "one-a-device": max(1, devices // backbones)}
        count = counts.get(str(found.replicas), found.replicas)
        return found.model_copy(update={"replicas": count})

    @property
    def count(self) -> int:
        """The number of replicas of a backbone."""
        assert isinstance(self.replicas, int), "options are those of a deployment"
        return self.replicas

    def batch(self, deployment: Deployment, functions: int) -> int:
        return self.max_num_seqs or deployment.limits.max_batch_size * functions

    def replica_threads(self) -> int:
        return self.threads or max(1, len(os.sched_getaffinity(0)) // self.count)
