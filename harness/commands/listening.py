"""The address on which the harness waits for load hosts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import HarnessError

if TYPE_CHECKING:
    from ..replay.hosts import LoadHosts

PORT = 5557


def host_and_port(text: str) -> tuple[str, int]:
    """Parse ``HOST`` or ``HOST:PORT``. Raises ``HarnessError``."""
    host, _, port = text.partition(":")
    if not host or (port and not (port.isdecimal() and int(port) < 1 << 16)):
        raise HarnessError(f"address {text!r}: write HOST:PORT, such as 10.0.0.1:{PORT}")
    return host, int(port or PORT)


@contextmanager
def load_hosts(count: int, listen: str | None) -> Iterator[LoadHosts | None]:
    """Wait for ``count`` load hosts and yield them once all are connected; yield None if 0."""
    if not count:
        yield None
        return
    if listen is None:
        raise HarnessError("--load-hosts needs --listen: this host's address for the load hosts")
    from systems.runtime.links import secret

    from ..replay.hosts import LoadHosts

    given = os.environ.get(secret.VARIABLE)
    key = given or secret.make()
    with LoadHosts(key, count, *host_and_port(listen)) as hosts:
        shown = "$" + secret.VARIABLE if given else key
        print(
            f"waiting for {count} load hosts; on each: {secret.VARIABLE}={shown}"
            f" slbench load-worker {hosts.address}:{hosts.port}",
            file=sys.stderr,
        )
        hosts.await_all()
        yield hosts
