"""The servers that requests are sent to."""

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
    """An OpenAI-compatible server; ``prefix`` precedes ``/v1/completions``."""

    host: str
    port: int
    prefix: str
    tls: bool

    @classmethod
    def parse(cls, base_url: str) -> Target:
        """Parse a URL, with or without ``/v1``. Raises :class:`HarnessError` if it is not HTTP."""
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
        """Resolve the address once, so that no request waits for DNS. Returns the name if it cannot
        be resolved; every request then reports the error."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            return self.host
        return str(found[0][4][0])


class Router:
    """Maps a function to one of ``base_urls`` and to the model name in its requests."""

    def __init__(self, base_url: str, routes: Mapping[str, Route]) -> None:
        urls = dict.fromkeys((base_url, *(route.base_url for route in routes.values())))
        self.base_urls = list(urls)
        self._routes = {
            function: (self.base_urls.index(route.base_url), route.model)
            for function, route in routes.items()
        }

    def route(self, function: str) -> tuple[int, str]:
        return self._routes.get(function, (0, function))
