"""The OpenAI-compatible HTTP API of a platform, on aiohttp."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

from aiohttp import web

from systems.access import AccessTokens, caller
from systems.interface import Deployment, Function
from systems.request_limits import UNLIMITED, RequestLimits
from systems.runtime.calls import Call, Failure, Tokens
from systems.runtime.messages import Sampling
from systems.runtime.metrics import Metrics

from . import body as bodies
from . import schema, timeouts
from .callers import Callers
from .completion import DONE, Answer, ChatShape, CompletionShape, Shape, event
from .errors import errors_as_openai
from .observing import add_metrics
from .prompts import Prompts
from .refusal import RefusalError
from .text import Text

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Generating = Callable[[web.Request, int], Awaitable[web.StreamResponse]]
"""Also takes when the request was received, in ns."""


class Served(Protocol):
    """The deployed functions."""

    @property
    def deployment(self) -> Deployment: ...

    @property
    def functions(self) -> Mapping[str, Function]: ...


class Backend(Protocol):
    """What executes requests: a serverless platform, or the front of a server."""

    @property
    def plan(self) -> Served: ...

    def submit(self, **fields: Any) -> Call: ...

    def abandon(self, call: Call) -> None: ...

    def answered(self, call: Call, responded_ns: int | None) -> None: ...


class Api:
    """Routes and their handlers. ``texts``: by backbone. With ``tokens``, callers need a token of
    the function. ``metrics``: those of its gateway, for ``/metrics``; None: there is none.
    ``limits``: of each caller."""

    def __init__(
        self,
        platform: Backend,
        texts: Mapping[str, Text],
        tokens: AccessTokens | None = None,
        metrics: Metrics | None = None,
        limits: RequestLimits = UNLIMITED,
    ) -> None:
        self._metrics = metrics
        self._platform = platform
        self._texts = texts
        self._tokens = tokens
        self._callers = Callers(limits, metrics)
        self._limits = platform.plan.deployment.limits
        self._prompts = Prompts(texts, self._limits.max_context_tokens)

    def application(self) -> web.Application:
        app = web.Application(
            client_max_size=self._prompts.body_bytes, middlewares=[errors_as_openai]
        )
        app.router.add_get("/health", self._health)
        app.router.add_get("/openapi.json", self._openapi)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._admitted(self._completions))
        app.router.add_post("/v1/chat/completions", self._admitted(self._chat))
        if self._metrics is not None:
            add_metrics(app, self._metrics, self._tokens)
        return app

    async def _health(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return web.json_response({"status": "ok"})

    async def _openapi(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return web.json_response(schema.openapi())

    async def _models(self, request: web.Request) -> web.Response:
        self._know(request)
        models = [
            {"id": name, "object": "model", "owned_by": "local", "parent": function.backbone}
            for name, function in self._platform.plan.functions.items()
            if self._may_call(request, name)
        ]
        return web.json_response({"object": "list", "data": models})

    def _admitted(self, handler: Generating) -> Handler:
        """Let ``handler`` answer requests of known callers within their limits."""

        async def answer(request: web.Request) -> web.StreamResponse:
            received_ns = time.monotonic_ns()
            self._know(request)
            with self._callers.admitted(self._caller(request), received_ns):
                return await handler(request, received_ns)

        return answer

    async def _completions(self, request: web.Request, received_ns: int) -> web.StreamResponse:
        body = bodies.parse(schema.CompletionRequest, await self._read(request))
        text = self._text(request, body.model)
        prompt = await self._prompts.of_completion(body, text)
        return await self._generate(request, body, text, prompt, CompletionShape(), received_ns)

    async def _chat(self, request: web.Request, received_ns: int) -> web.StreamResponse:
        body = bodies.parse(schema.ChatRequest, await self._read(request))
        text = self._text(request, body.model)
        prompt = await self._prompts.of_chat(body, text)
        return await self._generate(request, body, text, prompt, ChatShape(), received_ns)

    async def _read(self, request: web.Request) -> bytes:
        raw = await bodies.read(request)
        bodies.check_values(raw, self._prompts.body_values)
        return raw

    def _know(self, request: web.Request) -> None:
        """Reject unknown tokens before reading the request body."""
        if self._tokens is not None and not self._tokens.known(_authorization(request)):
            raise RefusalError(401, "send a token: Authorization: Bearer …", "invalid_api_key")

    def _caller(self, request: web.Request) -> str:
        """Return whose limits hold. Without tokens nothing tells callers apart."""
        return "" if self._tokens is None else caller(_authorization(request))

    def _may_call(self, request: web.Request, model: str) -> bool:
        return self._tokens is None or self._tokens.allow(_authorization(request), model)

    def _text(self, request: web.Request, model: str) -> Text:
        if not self._may_call(request, model):
            # The answer must not reveal whether the function exists.
            raise RefusalError(403, f"the token is not valid for {model!r}", "not_allowed", "model")
        function = self._platform.plan.functions.get(model)
        if function is None:
            known = ", ".join(self._platform.plan.functions)
            raise RefusalError(
                404, f"model {model!r} is not deployed; deployed: {known}", "model_not_found"
            )
        return self._texts[function.backbone]

    async def _generate(
        self,
        request: web.Request,
        body: schema.CompletionRequest | schema.ChatRequest,
        text: Text,
        prompt: list[int],
        shape: Shape,
        received_ns: int,
    ) -> web.StreamResponse:
        call = self._platform.submit(
            client_id=request.headers.get("X-Request-Id", ""),
            function=body.model,
            prompt_ids=prompt,
            max_tokens=body.limit,
            sampling=_sampling(body, text),
            received_ns=received_ns,
        )
        if self._metrics is not None:
            self._metrics.received(body.model)
        decoder = text.decoder(skip_special=body.skip_special_tokens)
        answer = Answer(shape, _new_id(shape), body.model, decoder, body.stops, len(prompt))
        try:
            async with asyncio.timeout(self._limits.request_timeout_s + timeouts.WRITE_S):
                if body.stream:
                    usage = body.stream_options.include_usage
                    return await self._stream(request, call, answer, usage=usage)
                response = await self._whole(call, answer)
            self._settle(call, time.monotonic_ns())
            return response
        except TimeoutError:
            # The client does not read its response, so it cannot be told either.
            timeouts.abort(request.protocol)
            raise ConnectionResetError("the client does not read") from None
        finally:
            self._settle(call, None)

    def _settle(self, call: Call, responded_ns: int | None) -> None:
        """Release a call once, before its last bytes are written, so that a client with a full
        response always has a record."""
        if call.settled:
            return
        call.settled = True
        self._platform.abandon(call)
        self._platform.answered(call, responded_ns)

    async def _whole(self, call: Call, answer: Answer) -> web.Response:
        while not answer.finished:
            for item in await call.answers.take():
                if answer.finished:
                    break
                if isinstance(item, Failure):
                    return _failed(item)
                answer.take(item)
        return web.json_response(answer.whole())

    async def _stream(
        self, request: web.Request, call: Call, answer: Answer, *, usage: bool
    ) -> web.StreamResponse:
        """Send the headers with the first text, so that an earlier error has its own status, and
        the end with the last."""
        response: web.StreamResponse | None = None
        while True:
            chunks, failure = _chunks(await call.answers.take(), answer)
            ended = answer.finished or failure is not None
            if ended:
                self._settle(call, time.monotonic_ns())
            if failure is not None:
                if response is None:
                    return _failed(failure)
                chunks.append(event(_body(failure)))
            elif ended:
                chunks += [answer.usage_chunk() if usage else b"", DONE]
            if not chunks:
                continue
            response = response or await _open_stream(request)
            if ended:
                await response.write_eof(b"".join(chunks))
                return response
            await response.write(b"".join(chunks))


def _chunks(
    items: Iterable[Tokens | Failure], answer: Answer
) -> tuple[list[bytes], Failure | None]:
    """Return the chunks of all items up to the end of the answer, for a single write."""
    chunks: list[bytes] = []
    for item in items:
        if answer.finished:
            break
        if isinstance(item, Failure):
            return chunks, item
        answer.take(item)
        chunk = answer.chunk()
        if chunk:
            chunks.append(chunk)
    return chunks, None


async def _open_stream(request: web.Request) -> web.StreamResponse:
    headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    return response


def _sampling(body: schema.CompletionRequest | schema.ChatRequest, text: Text) -> Sampling:
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        seed=secrets.randbelow(1 << 31) if body.seed is None else body.seed,
        ignore_eos=body.ignore_eos,
        stop_token_ids=tuple(text.stop_ids),
    )


def _new_id(shape: Shape) -> str:
    """Return an id that reveals neither the number of requests nor a guessable name."""
    return f"{shape.prefix}-{secrets.token_hex(16)}"


def _authorization(request: web.Request) -> str | None:
    return request.headers.get("Authorization")


def _body(failure: Failure) -> Any:
    kind, code = schema.error_type(failure.status), schema.error_code(failure.status)
    return schema.error(failure.reason, kind=kind, code=code)


def _failed(failure: Failure) -> web.Response:
    wait_s = failure.retry_after_s
    headers = {} if wait_s is None else {"Retry-After": str(wait_s)}
    return web.json_response(_body(failure), status=failure.status, headers=headers)
