"""InstaInfer's policy (Sui et al., SoCC'24): opportunistic pre-loading into warm containers.

Modelled: no sharing. After its keep-alive a container stays on the device with its libraries in
place. Its model is pre-loaded again if the function's next call is expected within a keep-alive,
estimated from the mean time between calls. With the option ``takeover``, off by default, a function
without a container takes over the one that another function left idle longest, as in the paper's
figure: its call skips warming, but not libraries (unless the container keeps them) and model. What
isolation this gives up is in SECURITY.md. Not modelled: the original prediction, whose public
description says only that it expects arrivals.
"""

from __future__ import annotations

from typing import ClassVar

from systems.serverless.system import ServerlessSystem


class InstaInfer(ServerlessSystem):
    name = "instainfer"
    summary = "libraries and models pre-loaded into warm containers, no sharing"
    policy_names: ClassVar = {
        "sharing": "copy-per-instance",
        "preloading": "opportunistic-by-expected-arrival",
        "batching": "first-come-first-served",
        "offloading": "least-recently-used",
    }
