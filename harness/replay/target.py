"""Where requests go."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import HarnessError

if TYPE_CHECKING:
    from systems.interface import Route


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


class Router:
    """Which of ``base_urls`` a function's requests go to, and the model name that they carry."""

    def __init__(self, base_url: str, routes: Mapping[str, Route]) -> None:
        urls = dict.fromkeys((base_url, *(route.base_url for route in routes.values())))
        self.base_urls = list(urls)
        self._routes = {
            function: (self.base_urls.index(route.base_url), route.model)
            for function, route in routes.items()
        }

    def route(self, function: str) -> tuple[int, str]:
        return self._routes.get(function, (0, function))
