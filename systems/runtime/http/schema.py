"""The supported part of OpenAI's HTTP API: request models and response objects."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from .fields import Neutral, NullIs
from .unsupported import (
    UnsupportedOfBoth,
    UnsupportedOfChat,
    UnsupportedOfCompletions,
    UnsupportedOfMessages,
)

MAX_MESSAGES = 2048
MAX_STOPS = 4
MAX_STOP_CHARACTERS = 256

TokenId = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
_Count = Annotated[int, Field(ge=1, lt=2**31)]
_Switch = Annotated[bool, NullIs(False)]
_Stop = Annotated[str, Field(max_length=MAX_STOP_CHARACTERS)]


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")

    include_usage: _Switch = False
    continuous_usage_stats: Annotated[Any, Neutral(False)] = None


class _Generation(UnsupportedOfBoth):
    """Fields of both kinds of completion. ``null`` selects the default of an optional field."""

    model_config = ConfigDict(extra="ignore")

    model: str = Field(max_length=256)
    temperature: Annotated[float, Field(ge=0.0, le=2.0), NullIs(1.0)] = 1.0
    top_p: Annotated[float, Field(gt=0.0, le=1.0), NullIs(1.0)] = 1.0
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: _Stop | Annotated[list[_Stop], Field(max_length=MAX_STOPS, fail_fast=True)] | None = None
    stream: _Switch = False
    stream_options: Annotated[StreamOptions, NullIs(StreamOptions())] = StreamOptions()
    ignore_eos: _Switch = False
    """As in vLLM: generate ``max_tokens`` tokens, ignoring end-of-sequence tokens."""
    skip_special_tokens: Annotated[bool, NullIs(True)] = True

    @property
    def stops(self) -> list[str]:
        found = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [text for text in found if text]


class CompletionRequest(_Generation, UnsupportedOfCompletions):
    """``POST /v1/completions``; the prompt is one text or one list of token ids."""

    prompt: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]
    )
    max_tokens: Annotated[_Count, NullIs(16)] = 16

    @property
    def limit(self) -> int:
        return self.max_tokens


class Message(UnsupportedOfMessages):
    model_config = ConfigDict(extra="ignore")

    role: str = Field(max_length=64)
    content: str


class ChatRequest(_Generation, UnsupportedOfChat):
    """``POST /v1/chat/completions``; the model's chat template builds the prompt."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    max_tokens: Annotated[_Count, NullIs(256)] = 256
    max_completion_tokens: _Count | None = None

    @property
    def limit(self) -> int:
        return self.max_completion_tokens or self.max_tokens


def retry_after_s(wait_ns: int) -> int:
    """Return ``wait_ns`` in whole seconds, at least 1, as a ``Retry-After`` header has it."""
    return max(1, math.ceil(wait_ns / 1e9))


def error_type(status: int) -> str:
    """Return OpenAI's type of an error with this HTTP status."""
    if status == 429:
        return "requests"
    return "server_error" if status >= 500 else "invalid_request_error"


def error_code(status: int) -> str:
    """Return the code of an error that the platform answers with."""
    return "rate_limit_exceeded" if status == 429 else str(status)


def error(message: str, *, kind: str, code: str | None = None, param: str | None = None) -> Any:
    """Return OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {"message": {"type": "string"}, "type": {"type": "string"}},
        }
    },
}
_REFUSALS = {
    "400": "malformed, not supported, or longer than the context",
    "401": "an access token is required and missing or unknown",
    "403": "the access token is for another function",
    "404": "the model is not deployed",
    "408": "the body did not arrive in time",
    "413": "the body is larger than that of any prompt that fits",
    "415": "the body is compressed",
    "429": "a limit of the function or the caller is reached; see Retry-After",
    "502": "the instance was lost",
    "503": "no instance could be started",
    "504": "the request timed out",
}


def _refusal(why: str) -> Any:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": why, "content": content}


def openapi() -> Any:
    """Build the OpenAPI document of the endpoint from the models above."""

    def post(model: type[BaseModel], summary: str) -> Any:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
        reference = {"$ref": f"#/components/schemas/{model.__name__}"}
        content = {"application/json": {"schema": reference}}
        return {"post": {"summary": summary, "requestBody": _body(content), "responses": answers}}

    schemas: dict[str, Any] = {"Error": _ERROR}
    answers = {
        "200": {
            "description": "the completion, or its stream of server-sent events",
            "content": {
                "application/json": {"schema": {"type": "object", "required": ["choices"]}},
                "text/event-stream": {},
            },
        },
        **{status: _refusal(why) for status, why in _REFUSALS.items()},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Functions of one deployment", "version": "1"},
        "paths": {
            "/v1/completions": post(CompletionRequest, "Complete a prompt"),
            "/v1/chat/completions": post(ChatRequest, "Answer a conversation"),
            "/v1/models": {
                "get": {
                    "summary": "Names of functions and backbones",
                    "responses": {
                        "200": {
                            "description": "the list",
                            "content": {
                                "application/json": {
                                    "schema": {"type": "object", "required": ["data"]}
                                }
                            },
                        },
                        "401": _refusal(_REFUSALS["401"]),
                    },
                }
            },
        },
        "components": {"schemas": schemas},
    }


def _body(content: Any) -> Any:
    return {"required": True, "content": content}
