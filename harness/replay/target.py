"""Where requests go."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import HarnessError


@dataclass(frozen=True, slots=True)
class Target:
    """An OpenAI-compatible server; ``prefix`` comes before ``/v1/completions``."""

    host: str
    port: int
    prefix: str
    tls: bool

    @classmethod
    def parse(cls, base_url: str) -> Target:
        """With or without a closing ``/v1``. :class:`HarnessError` where it is no HTTP URL."""
        try:
            parts = urlsplit(base_url)
            port = parts.port
        except ValueError as error:
            raise HarnessError(f"base URL {base_url!r}: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise HarnessError(f"base URL {base_url!r}: write http://host:port or https://host")
        tls = parts.scheme == "https"
        prefix = parts.path.rstrip("/").removesuffix("/v1")
        return cls(parts.hostname, port or (443 if tls else 80), prefix, tls)

    def address(self) -> str:
        """Resolved once, so that no request waits for a name server; the name as it is where it
        cannot be, to be told by every request."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            return self.host
        return str(found[0][4][0])
