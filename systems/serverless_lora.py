"""ServerlessLoRA (arXiv 2505.14468, EuroSys'26) and its four ablations.

Modelled, from the public digests of the design: isolated function processes that map one read-only
backbone copy per device and run their adapter unmerged; pre-loading onto devices chosen by the
precedence-constrained knapsack; fill-or-expire batches per function, smallest margin first across
functions; offloading by value density, down to the container. Beyond the paper: instances are
forked from a template that imported the libraries once (``template: containers`` is the paper's
warm pool), batching within a function is continuous, and a batch waits only while the device
prefills another one (with ``batch_hold: always`` it always waits).

Each ablation switches off exactly one of these four.
"""

from __future__ import annotations

from dataclasses import replace

from systems.serverless.core.policies import Policies
from systems.serverless.core.policies.batching import FillOrExpire, FirstComeFirstServed
from systems.serverless.core.policies.offloading import NoOffloading, ValueDensity
from systems.serverless.core.policies.preloading import ByDensity, NoPreloading
from systems.serverless.core.policies.sharing import PrivatePerInstance, SharedPerDevice
from systems.serverless.live.system import LiveServerless
from systems.serverless.options import Options


class ServerlessLoRA(LiveServerless):
    name = "serverless-lora"
    summary = "one shared backbone, pre-loading, contention-aware batching and offloading"

    @staticmethod
    def policies(options: Options) -> Policies:
        delay_s = options.batch_delay_s
        return Policies(
            sharing=SharedPerDevice(),
            preloading=ByDensity(libraries=options.template == "libraries"),
            batching=FillOrExpire(
                options.max_prefills,
                options.batch_hold,
                None if delay_s is None else round(delay_s * 1e9),
            ),
            offloading=ValueDensity(),
            admission=options.admission(),
            new_rate=options.new_rate,
        )


class WithoutSharing(ServerlessLoRA):
    name = "serverless-lora-no-sharing"
    summary = "ablation: each instance holds a copy of the backbone"

    @staticmethod
    def policies(options: Options) -> Policies:
        return replace(ServerlessLoRA.policies(options), sharing=PrivatePerInstance())


class WithoutPreloading(ServerlessLoRA):
    name = "serverless-lora-no-preloading"
    summary = "ablation: every instance starts from nothing and ends with its keep-alive"

    @staticmethod
    def policies(options: Options) -> Policies:
        return replace(ServerlessLoRA.policies(options), preloading=NoPreloading())


class WithoutOffloading(ServerlessLoRA):
    name = "serverless-lora-no-offloading"
    summary = "ablation: nothing gives way before its keep-alive ends"

    @staticmethod
    def policies(options: Options) -> Policies:
        return replace(ServerlessLoRA.policies(options), offloading=NoOffloading())


class WithoutAdaptiveBatching(ServerlessLoRA):
    name = "serverless-lora-no-adaptive-batching"
    summary = "ablation: first come, first served, whatever waits at once"

    @staticmethod
    def policies(options: Options) -> Policies:
        batching = FirstComeFirstServed(options.max_prefills)
        return replace(ServerlessLoRA.policies(options), batching=batching)
