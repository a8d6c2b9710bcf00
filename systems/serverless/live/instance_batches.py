"""The batches of an instance's process: their prompts in pieces, and the steps of what decodes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from systems.runtime.messages import Message, StepToken

from .instance_artifacts import InstanceArtifacts
from .messages import Decoded, Prefilled, RunBatch
from .prefill import Prefill

if TYPE_CHECKING:
    from systems.engine.requests import GenerationRequest, TokenEvent

ANSWER_MS = 1
"""How long decoding waits for another batch when the prompts of one are complete, if they may be
back to back: the controller gives an instance one at a time, and takes a fraction of this to
answer. Else what arrived meanwhile would also wait for a decode step, as long as a prefill."""


class InstanceBatches:
    """Runs batches by the engine of ``artifacts``, of which it keeps no reference: a release of
    artifacts frees it. Calls ``send`` with each message of tokens."""

    def __init__(self, artifacts: InstanceArtifacts, send: Callable[[Message], None]) -> None:
        self._artifacts, self._send = artifacts, send
        self._arrived: dict[int, GenerationRequest] = {}
        self._waiting: deque[RunBatch] = deque()
        self._prefill: Prefill | None = None  # the batch whose prompts are being computed
        self._awaits = False  # decoding waits for another batch
        self._paused_until_ns = 0  # while others compute prompts
        self._owed = False  # a step between two pauses, however close

    def take(self, request: GenerationRequest) -> None:
        """Keep a request for the batch that will name it."""
        self._arrived[request.request_id] = request

    def run(self, batch: RunBatch) -> None:
        """Run a batch of requests after those that wait, or more of one of them. One that has begun
        meanwhile is followed by what came too late for it."""
        for index, waiting in enumerate(self._waiting):
            if waiting.batch == batch.batch:
                self._waiting[index] = replace(waiting, requests=waiting.requests + batch.requests)
                return
        self._waiting.append(batch)

    def pause(self, most_ns: int) -> None:
        """Decode no further until :meth:`resume`, for ``most_ns`` at most. Between two pauses there
        is a step, or others that never run out of prompts would stop it altogether."""
        self._paused_until_ns = time.monotonic_ns() + most_ns

    def resume(self) -> None:
        self._paused_until_ns, self._owed = 0, True

    def cancel(self, request: int) -> None:
        """Cancel a request that waits in a batch, is being prefilled or decodes."""
        if self._prefill is not None:
            self._prefill.cancel(request)
        engine = self._artifacts.engine
        if self._arrived.pop(request, None) is None and engine is not None:
            engine.cancel(request)

    @property
    def busy(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self._waiting) or self._prefill is not None or self._decoding

    @property
    def _decoding(self) -> bool:
        engine = self._artifacts.engine
        return engine is not None and bool(engine.running)

    @property
    def wait_ms(self) -> int:
        """How long to wait for a message before the next step."""
        if self._waiting:
            return 0
        if self._awaits:
            return ANSWER_MS
        return -(-self._paused_ns // 1_000_000) if self._prefill is None and self._decoding else 0

    @property
    def _paused_ns(self) -> int:
        """How long decoding is paused yet."""
        until_ns = 0 if self._owed else self._paused_until_ns
        return max(until_ns - time.monotonic_ns(), 0) if until_ns else 0

    def step(self) -> bool:
        """Compute a piece of prompts and a decode step, in one pass if the engine has it, unless
        decoding is paused; return whether there was either, will be a step, or a prompt is left.
        Where batches may be back to back, the decode step after one waits for another that may come
        now, but not for a third, unless running requests got their tokens beside its prompts."""
        if self._prefill is None and self._waiting:
            self._begin(self._waiting.popleft())
        awaited, self._awaits = self._awaits, False
        mixed = False
        if self._prefill is not None:
            back_to_back = self._prefill.back_to_back
            mixed = self._advance(self._prefill)
            complete = self._prefill is None and self._decoding
            self._awaits = complete and back_to_back and (mixed or not awaited)
        decoding = self._decoding
        if decoding and not (mixed or self._awaits or self._paused_ns):
            self._decode()
        return decoding or self._prefill is not None

    def _begin(self, batch: RunBatch) -> None:
        engine = self._artifacts.engine
        assert engine is not None, "a batch runs only where all artifacts are in place"
        arrived = self._arrived
        requests = [arrived.pop(request) for request in batch.requests if request in arrived]
        self._prefill = Prefill.of(batch, time.monotonic_ns())
        if requests:
            engine.begin(requests)

    def _advance(self, prefill: Prefill) -> bool:
        """Compute the next piece; return whether running requests got tokens in the same pass."""
        engine = self._artifacts.engine
        assert engine is not None
        began_ns = time.monotonic_ns()
        further = None if self._paused_ns else prefill.mix(engine)
        if further is None:
            prefill.advance(engine)
        now_ns = time.monotonic_ns()
        prefill.computed_ns += now_ns - began_ns
        if not engine.prefilling:
            times = prefill.start_ns, now_ns, prefill.computed_ns
            self._send(Prefilled(prefill.batch, *times, _tokens(prefill.events)))
            self._prefill = None
        if further is None:
            return False
        self._owed = False
        self._send(Decoded(now_ns, _tokens(further)))
        return True

    def _decode(self) -> None:
        engine, self._owed = self._artifacts.engine, False
        assert engine is not None
        only = None if self._prefill is None else self._prefill.others(engine)
        if only is None or only:
            events = engine.decode(only)
            self._send(Decoded(time.monotonic_ns(), _tokens(events)))


def _tokens(events: list[TokenEvent]) -> tuple[StepToken, ...]:
    return tuple(StepToken(each.request_id, each.token_id, each.finished) for each in events)
