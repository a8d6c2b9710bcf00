"""InstaInfer's policy (Sui et al., SoCC'24): opportunistic pre-loading into warm containers.

Modelled here: no sharing; a container outlives its keep-alive on the device, with libraries in
place, and is given its model again when the function's next call is expected within a keep-alive,
by its mean time between calls. Not modelled: a container that is handed from one function to
another (the paper's figure shows it: warming is skipped where libraries and model are not), and the
original's prediction, of which its public description says no more than that it expects arrivals.
"""

from __future__ import annotations

from systems.serverless.core.policies import Policies
from systems.serverless.core.policies.batching import FirstComeFirstServed
from systems.serverless.core.policies.offloading import LeastRecentlyUsed
from systems.serverless.core.policies.preloading import ByExpectedArrival
from systems.serverless.core.policies.sharing import PrivatePerInstance
from systems.serverless.live.system import LiveServerless
from systems.serverless.options import Options


class InstaInfer(LiveServerless):
    name = "instainfer"
    summary = "libraries and models pre-loaded into warm containers, no sharing"

    @staticmethod
    def policies(options: Options) -> Policies:
        return Policies(
            sharing=PrivatePerInstance(),
            preloading=ByExpectedArrival(),
            batching=FirstComeFirstServed(options.max_prefills),
            offloading=LeastRecentlyUsed(),
            admission=options.admission(),
            new_rate=options.new_rate,
        )
