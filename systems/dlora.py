"""dLoRA (Wu et al., OSDI 2024) on our engine, kept up: merged and unmerged execution in turn, and
requests that move between replicas together with their adapters.

Modelled, live (systems/serverful/inhouse):

- Dynamic batching (§4): an adapter that is hot enough is merged into the weights and runs alone,
  without B·A beside every product; else all run unmerged in one batch. Thresholds adapt, credits
  keep the others from starving (``credit.py``). Times that decide are measured when a replica
  starts, as the published system profiles them beforehand.
- Request-adapter co-migration (§5): requests go to the replica where they cost least, bringing
  their adapter there counted in; every ``migration_interval_s`` the busiest replica gives away
  what pays, running requests with their keys and values, so that nothing is computed twice.

Not modelled: the integer program that the published migration solves (here: greedy, one request
at a time, each move has to pay), its prediction of output lengths, tensor parallelism, swapping of
preempted requests to the host (they keep their slot here), and kernels of its own.

On the CPU weights are stored in float32. In halves a merged weight is rounded where an unmerged
B·A is not, so that a function's greedy answer changed with whether its neighbours left it merged:
seen by the conformance suite in bfloat16. On a card, in the deployment's halves, that is how the
published system is too.

Merging writes weights, so a replica has a private copy of the backbone, and a second one of the
projections that adapters change (``engine/merging.py`` says why). No read-only copy can be shared
between functions then: that is why ServerlessLoRA runs unmerged.
"""

from __future__ import annotations

from systems.serverful.inhouse.system import InHouse


class DLoRA(InHouse):
    name = "dlora"
    dtype_on_cpu = "float32"
    summary = "dLoRA: adapters merged or not by demand, requests migrate between replicas"
