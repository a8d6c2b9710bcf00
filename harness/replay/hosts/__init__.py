"""Load workers on other hosts.

    replay() ── LoadHosts ══ TLS, a link a host ══ LoadWorker ── driver (Locust worker) ── sender
                    └─ Locust's master, on loopback ◄── its workers' connections, through the link

The link carries the schedule there, Locust's own messages both ways and the records back, and
relates the clocks. What a worker sends to the system under test goes straight from its host.
"""

from .registry import LoadHosts
from .seen import LoadHost

__all__ = ["LoadHost", "LoadHosts"]
