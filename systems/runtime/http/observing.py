"""``GET /metrics`` of a gateway. It names all functions: with access tokens, it takes one that is
valid for every function."""

from __future__ import annotations

from aiohttp import web

from systems.access import EVERY, AccessTokens
from systems.runtime.metrics import CONTENT_TYPE, Metrics

from .refusal import RefusalError


def add_metrics(app: web.Application, metrics: Metrics, tokens: AccessTokens | None = None) -> None:
    """Add the route to ``app``."""

    async def answer(request: web.Request) -> web.Response:
        header = request.headers.get("Authorization")
        if tokens is not None and not tokens.allow(header, EVERY):
            known = tokens.known(header)
            reason = "the token must be valid for every function" if known else "send a token"
            raise RefusalError(403 if known else 401, reason, "invalid_api_key")
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    app.router.add_get("/metrics", answer)
