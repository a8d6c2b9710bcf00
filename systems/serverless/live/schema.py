"""The part of OpenAI's HTTP API that the endpoint speaks: requests in, objects out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

TokenId = Annotated[int, Field(ge=0)]


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")

    include_usage: bool = False


class _Generation(BaseModel):
    """What both kinds of completion take. Keys unknown here are ignored, as OpenAI clients of
    other versions send them; what would change the answer but is not supported is refused."""

    model_config = ConfigDict(extra="ignore")

    model: str
    max_tokens: int = Field(default=16, ge=1)
    temperature: float = Field(default=1.0, ge=0.0, le=2.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    n: Literal[1] = 1
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    logprobs: Literal[False] | None = None
    ignore_eos: bool = False
    """As in vLLM: go on to ``max_tokens`` whatever comes."""
    skip_special_tokens: bool = True

    @property
    def stops(self) -> list[str]:
        found = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [text for text in found if text]


class CompletionRequest(_Generation):
    """``POST /v1/completions``; a prompt is one text or one list of token ids."""

    prompt: str | list[TokenId] = Field(min_length=1)


class Message(BaseModel):
    model_config = ConfigDict(extra="ignore")

    role: str
    content: str


class ChatRequest(_Generation):
    """``POST /v1/chat/completions``; the prompt is what the model's chat template makes of it."""

    messages: list[Message] = Field(min_length=1)
    max_tokens: int = Field(default=256, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)

    @property
    def limit(self) -> int:
        return self.max_completion_tokens or self.max_tokens


def error(message: str, *, kind: str, code: str | None = None, param: str | None = None) -> Any:
    """OpenAI's error object."""
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
    "400": "malformed, or longer than the context",
    "401": "no token, where tokens are asked for",
    "403": "a token of another function",
    "404": "no such model",
    "408": "the body did not come in time",
    "413": "a body that is too large",
    "429": "no deadline can be met; Retry-After says when to come again",
    "502": "the instance was lost",
    "503": "no instance could be started",
    "504": "no answer in time",
}


def _refusal(why: str) -> Any:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": why, "content": content}


def openapi() -> Any:
    """The OpenAPI document of the endpoint, from the models above."""

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
