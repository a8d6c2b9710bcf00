"""ServerlessLoRA (arXiv 2505.14468, EuroSys'26) and its four ablations.

Modelled, from the public digests of the design: isolated function processes that map one read-only
backbone copy per device and run their adapter unmerged; pre-loading onto devices chosen by the
precedence-constrained knapsack; fill-or-expire batches per function, smallest margin first across
functions; offloading by value density, down to the container. Beyond the paper: instances are
forked from a template that imported the libraries once (``template: containers`` is the paper's
warm pool), batching within a function is continuous, and a batch waits only until it pays to
delay what runs on its device (with ``batch_hold: always`` it always waits for its slack).

Each ablation switches off exactly one of these four.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from systems.serverless.system import ServerlessSystem


class ServerlessLoRA(ServerlessSystem):
    name = "serverless-lora"
    summary = "one shared backbone, pre-loading, contention-aware batching and offloading"
    served_with: ClassVar[Mapping[str, Any]] = {
        **ServerlessSystem.served_with, "backbones_at_deployment": True
    }  # fmt: skip
    policy_names: ClassVar = {
        "sharing": "one-copy-per-device",
        "preloading": "knapsack-by-density",
        "batching": "fill-or-expire-smallest-margin",
        "offloading": "least-value-density",
    }


class WithoutSharing(ServerlessLoRA):
    name = "serverless-lora-no-sharing"
    summary = "ablation: each instance holds a copy of the backbone"
    served_with: ClassVar[Mapping[str, Any]] = ServerlessSystem.served_with
    policy_names: ClassVar = {**ServerlessLoRA.policy_names, "sharing": "copy-per-instance"}


class WithoutPreloading(ServerlessLoRA):
    name = "serverless-lora-no-preloading"
    summary = "ablation: every instance starts from nothing and ends with its keep-alive"
    served_with: ClassVar[Mapping[str, Any]] = ServerlessSystem.served_with
    policy_names: ClassVar = {**ServerlessLoRA.policy_names, "preloading": "none"}


class WithoutOffloading(ServerlessLoRA):
    name = "serverless-lora-no-offloading"
    summary = "ablation: nothing gives way before its keep-alive ends"
    policy_names: ClassVar = {**ServerlessLoRA.policy_names, "offloading": "none"}


class WithoutAdaptiveBatching(ServerlessLoRA):
    name = "serverless-lora-no-adaptive-batching"
    summary = "ablation: first come, first served, whatever waits at once"
    policy_names: ClassVar = {**ServerlessLoRA.policy_names, "batching": "first-come-first-served"}
