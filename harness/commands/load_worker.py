"""``slbench load-worker``: sends a share of another host's run from this host."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def load_worker(
    address: Annotated[str, typer.Argument(help="HOST:PORT as given to slbench run --listen.")],
) -> None:
    """Send a share of the load of a run that was started on another host with --load-hosts.

    Reads the run's secret from SLBENCH_CLUSTER_SECRET. Example: slbench load-worker 10.0.0.1:5557
    """
    import os

    from systems.runtime.links import secret

    from ..errors import HarnessError
    from ..replay.hosts.worker import serve
    from .listening import host_and_port

    host, port = host_and_port(address)
    if secret.VARIABLE not in os.environ:
        raise HarnessError(f"load-worker: set {secret.VARIABLE} as slbench run prints it")
    serve(host, port, secret.take(), lambda text: print(text, file=sys.stderr))
