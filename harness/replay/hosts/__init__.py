"""Load workers on other hosts.

    replay() ── LoadHosts ══ TLS, a link a host ══ LoadWorker ── driver (Locust worker) ── sender
                    └─ Locust's master, on loopback ◄── its workers' connections, through the link

The link carries the schedule to the worker, Locust's messages both ways and the records back, and
measures the clock offset. A worker's requests go directly from its host to the system under test.
"""

from .registry import LoadHosts
from .seen import LoadHost

__all__ = ["LoadHost", "LoadHosts"]
