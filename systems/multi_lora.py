"""Multi-LoRA serving as S-LoRA does it (Sheng et al., MLSys 2024), on our engine, kept up.

One process for each replica of a backbone holds all its adapters and batches requests across them,
iteration by iteration, each row beside its own adapter. It is the floor that isolation is compared
with: functions share a process, its batches, and its queue.

Of the published design this has heterogeneous batches, continuous batching first come first
served, and adapters apart from the backbone. It has not: paging of adapters and KV cache in one
pool (all adapters are resident, or the least recently used idle one leaves), tensor parallelism,
and kernels of its own for ranks that differ.
"""

from __future__ import annotations

from systems.serverful.inhouse.system import InHouse


class MultiLoRA(InHouse):
    name = "multi-lora"
    summary = "one process for all adapters of a backbone, batches across them (S-LoRA-like)"
