"""InstaInfer's policy (Sui et al., SoCC'24): opportunistic pre-loading into warm containers.

Modelled: no sharing. After its keep-alive a container stays on the device with its libraries in
place. Its model is pre-loaded again if the function's next call is expected within a keep-alive,
estimated from the mean time between calls. Not modelled: passing a container from one function to
another (in the paper's figure, which skips warming but not libraries and model), and the original
prediction, whose public description says only that it expects arrivals.
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
