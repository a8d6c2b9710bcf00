"""Turns exceptions of a handler into responses in OpenAI's format."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from . import schema
from .refusal import RefusalError

_LEFT = 499  # nginx's status for a client that has disconnected


@web.middleware
async def errors_as_openai(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except RefusalError as refusal:
        return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
    except ConnectionResetError:
        return web.Response(status=_LEFT)  # received by no client
    except web.HTTPException as error:
        kind = schema.error_type(error.status)
        body = schema.error(error.reason, kind=kind, code=str(error.status))
        return web.Response(
            body=json.dumps(body), status=error.status, content_type="application/json"
        )
    return response
