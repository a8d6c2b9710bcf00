"""ServerlessLLM's policy (Fu et al., OSDI'24): serverless without sharing.

Modelled: every instance is a separate process that imports its libraries and loads its own copy of
the backbone from host memory (live: the page cache holds the checkpoint after the first load;
simulated: the host tier of a node; both stand for the original's multi-tier loader). It is kept
for a fixed time after its last request, and placed where the first token is expected soonest. Not
modelled: live migration and the original's checkpoint format.
"""

from __future__ import annotations

from systems.serverless.core.policies import Policies
from systems.serverless.core.policies.batching import FirstComeFirstServed
from systems.serverless.core.policies.offloading import LeastRecentlyUsed
from systems.serverless.core.policies.preloading import NoPreloading
from systems.serverless.core.policies.sharing import PrivatePerInstance
from systems.serverless.live.system import LiveServerless
from systems.serverless.options import Options


class ServerlessLLM(LiveServerless):
    name = "serverless-llm"
    checkpoint_tier = True
    summary = "a copy of the backbone per instance, loaded from host memory on demand"

    @staticmethod
    def policies(options: Options) -> Policies:
        return Policies(
            sharing=PrivatePerInstance(),
            preloading=NoPreloading(),
            batching=FirstComeFirstServed(options.max_prefills),
            offloading=LeastRecentlyUsed(),
            admission=options.admission(),
            new_rate=options.new_rate,
        )
