"""ServerlessLLM's policy (Fu et al., OSDI'24): serverless without sharing.

Modelled: every instance is a separate process that imports its libraries and loads its own copy of
the backbone from host memory (the page cache holds the checkpoint after a node's first load, live
and simulated, and stands for the original's multi-tier loader). It is kept for a fixed time after
its last request, and placed where a request is expected to complete soonest. Not modelled: live
migration and the original's checkpoint format.
"""

from __future__ import annotations

from typing import ClassVar

from systems.serverless.system import ServerlessSystem


class ServerlessLLM(ServerlessSystem):
    name = "serverless-llm"
    summary = "a copy of the backbone per instance, loaded from host memory on demand"
    policy_names: ClassVar = {
        "sharing": "copy-per-instance",
        "preloading": "none",
        "batching": "first-come-first-served",
        "offloading": "least-recently-used",
    }
