"""Reads a request's body within bounds of bytes and time, and validates it against its schema."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from . import timeouts
from .refusal import RefusalError

T = TypeVar("T", bound=BaseModel)


async def read(request: web.Request) -> bytes:
    """Read the whole body. ``RefusalError`` if it is compressed, larger than the application's
    ``client_max_size`` or takes longer than ``timeouts.BODY_S``."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() != "identity":
        message = "compressed bodies are not supported; send it without Content-Encoding"
        raise RefusalError(415, message, "unsupported_encoding")
    if (request.content_length or 0) > request.client_max_size:
        raise _too_large(request)
    try:
        async with asyncio.timeout(timeouts.BODY_S):
            return await request.read()
    except TimeoutError:
        message = f"the body did not arrive within {timeouts.BODY_S:g} s"
        raise RefusalError(408, message, "body_too_slow") from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(request) from None


def _too_large(request: web.Request) -> RefusalError:
    message = (
        f"the body is larger than {request.client_max_size} bytes, more than any prompt can need"
    )
    return RefusalError(413, message, "body_too_large")


def check_values(raw: bytes, most: int) -> None:
    """Raise ``RefusalError`` if the JSON ``raw`` has many more values than ``most``. To parse a
    million numbers takes the event loop 0.1 s, even where they are ignored; to count them, 1 ms."""
    if raw.count(b",") > most and _commas_outside_of_texts(raw, most) > most:
        message = f"the body has more than {most} values, more than any prompt that fits"
        raise RefusalError(400, message, "too_many_values")


def _commas_outside_of_texts(raw: bytes, most: int) -> int:
    """Return their number; or more than ``most``, if there are that many texts."""
    plain = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    quotes = plain.count(b'"')
    if quotes > 4 * most:  # each value may have a name, and both are texts
        return quotes
    return sum(part.count(b",") for part in plain.split(b'"')[::2])


def parse(model: type[T], raw: bytes) -> T:
    """Parse ``raw`` as ``model``. The ``RefusalError`` of an invalid body names the field."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        wrong = _most_telling(error)
        place = _place(wrong["loc"])
        raise RefusalError(400, f"{place}: {wrong['msg']}", "invalid_body", place) from None


def _most_telling(error: ValidationError) -> Any:
    """Select the most informative error. Each member of a union reports one: prefer a wrong value
    to a wrong type; members that are lists come last."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return next((each for each in found if not each["type"].endswith("_type")), found[-1])


def _place(loc: tuple[int | str, ...]) -> str:
    """Return the location without the names that pydantic gives to members of a union."""
    parts = (str(part) for part in loc if isinstance(part, int) or part.isidentifier())
    return ".".join(parts) or "body"
