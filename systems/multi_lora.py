"""Multi-LoRA serving like S-LoRA (Sheng et al., MLSys 2024) on our engine, always running.

One process per replica of a backbone holds all its adapters. It batches requests across adapters,
iteration by iteration, and applies to each row its own adapter. It is the baseline for the cost of
isolation: here functions share a process, its batches and its queue.

Implemented from the published design: heterogeneous batches, continuous batching (first come,
first served), adapters separate from the backbone. Not implemented: one paged pool for adapters
and KV cache (here all adapters are resident, or the least recently used idle one is evicted),
tensor parallelism, and custom kernels for mixed ranks.
"""

from __future__ import annotations

from systems.serverful.inhouse.system import InHouse


class MultiLoRA(InHouse):
    name = "multi-lora"
    summary = "one process for all adapters of a backbone, batches across them (S-LoRA-like)"
