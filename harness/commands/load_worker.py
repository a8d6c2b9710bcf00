"""``slbench load-worker``: this host sends a share of another host's run."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def load_worker(
    address: Annotated[str, typer.Argument(help="HOST:PORT that slbench run --listen names.")],
) -> None:
    """Send a share of the load of a run that was started elsewhere with --load-hosts.

    The run's secret is taken from SLBENCH_CLUSTER_SECRET. Example: slbench load-worker
    10.0.0.1:5557
    """
    import os

    from systems.runtime.links import secret

    from ..errors import HarnessError
    from ..replay.hosts.worker import serve
    from .listening import host_and_port

    host, port = host_and_port(address)
    if secret.VARIABLE not in os.environ:
        raise HarnessError(f"load-worker: set {secret.VARIABLE} to what the run says")
    serve(host, port, secret.take(), lambda text: print(text, file=sys.stderr))
