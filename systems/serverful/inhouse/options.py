"""What the in-tree serverful systems let one set."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from systems.interface import Deployment


class Options(BaseModel):
    """None: sized for the deployment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    replicas: PositiveInt = 1
    """Processes of a backbone, each with all of its weights."""
    max_num_seqs: PositiveInt | None = None
    """Requests in one batch; None: the batch limit times the backbone's functions, as for vLLM."""
    max_adapters: PositiveInt | None = None
    """Adapters that a replica holds at once; None: all of them."""
    threads: PositiveInt | None = None
    """CPU threads of a replica; None: the machine's cores, shared out among the replicas."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """In which weights are stored; None: what the system needs, else the deployment's."""
    migration_interval_s: PositiveFloat = 1.0
    """How often a scheme that migrates looks whether it should."""
    start_timeout_s: PositiveFloat = 120.0

    def batch(self, deployment: Deployment, functions: int) -> int:
        return self.max_num_seqs or deployment.limits.max_batch_size * functions

    def replica_threads(self) -> int:
        return self.threads or max(1, len(os.sched_getaffinity(0)) // self.replicas)
