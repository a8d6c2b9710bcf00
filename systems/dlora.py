"""dLoRA (Wu et al., OSDI 2024) on our engine, always running: it alternates merged and unmerged
execution and migrates requests with their adapters between replicas.

Implemented, live (systems/serverful/inhouse):

- Dynamic batching (§4): a sufficiently hot adapter is merged into the weights and runs alone,
  without the extra product B·A; otherwise all run unmerged in one batch. Thresholds adapt, credits
  prevent starvation of the others (``credit.py``). The times that these decisions need are
  measured when a replica starts; the published system profiles them beforehand.
- Request-adapter co-migration (§5): a request goes to the replica with the lowest cost, including
  the load of its adapter. Every ``migration_interval_s`` the busiest replica migrates what pays
  off; running requests keep their keys and values, so that nothing is computed twice.

Not implemented: the integer program of the published migration (here: greedy, one request at a
time, each move must pay off), output-length prediction, tensor parallelism, swapping preempted
requests to the host (they keep their slot here), custom kernels.

On the CPU weights are stored in float32. In half precision a merged weight is rounded and an
unmerged B·A is not, so a function's greedy output would depend on which adapter is merged (the
conformance suite showed this in bfloat16). On a GPU they have the deployment's half precision, as
in the published system.

Merging writes weights, so a replica has a private copy of the backbone and a second copy of the
projections that adapters change (``engine/merging.py`` says why). Functions then cannot share a
read-only copy; this is why ServerlessLoRA runs unmerged.
"""

from __future__ import annotations

from systems.serverful.inhouse.system import InHouse


class DLoRA(InHouse):
    name = "dlora"
    dtype_on_cpu = "float32"
    summary = "dLoRA: adapters merged or not by demand, requests migrate between replicas"
