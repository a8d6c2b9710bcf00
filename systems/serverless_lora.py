"""ServerlessLoRA (arXiv 2505.14468, EuroSys'26).

Modelled here: isolated function processes that map one read-only copy of their backbone per
device and run their adapter unmerged; libraries imported once into the template that instances
are forked from; continuous batching within a function; a shared backbone that outlives its
instances. Batches are first come, first served, and memory is freed least recently used first.
"""

from __future__ import annotations

from systems.serverless.core.policies import Policies
from systems.serverless.core.policies.batching import FirstComeFirstServed
from systems.serverless.core.policies.keep_alive import FixedKeepAlive
from systems.serverless.core.policies.offloading import LeastRecentlyUsed
from systems.serverless.core.policies.placement import BackboneAffinity
from systems.serverless.core.policies.preloading import LibraryTemplate
from systems.serverless.core.policies.sharing import SharedPerDevice
from systems.serverless.live.plan import Options
from systems.serverless.live.system import LiveServerless


class ServerlessLoRA(LiveServerless):
    name = "serverless-lora"
    summary = "one shared backbone, isolated functions, libraries pre-loaded"

    @staticmethod
    def policies(options: Options) -> Policies:
        return Policies(
            sharing=SharedPerDevice(),
            preloading=LibraryTemplate(),
            batching=FirstComeFirstServed(options.max_prefills),
            offloading=LeastRecentlyUsed(),
            keep_alive=FixedKeepAlive(),
            placement=BackboneAffinity(),
        )
