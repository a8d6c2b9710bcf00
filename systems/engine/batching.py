"""The set of running requests and their slots in the KV cache."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .migration import RequestSnapshot
from .requests import Finish, GenerationRequest, TokenEvent
from .sampling import Sampler


class Cache(Protocol):
    """Keys and values, one slot per request; slots 0 … n-1 are in use."""

    bytes_per_token: int

    @property
    def nbytes(self) -> int: ...

    def touch(self, slot: int, tokens: int) -> None: ...

    def move(self, source: int, target: int, tokens: int) -> None: ...

    def take(self, slot: int, tokens: int) -> Tensor: ...

    def put(self, slot: int, kv: Tensor) -> None: ...

    def swap(self, first: int, second: int, tokens: int) -> None: ...

    def release(self) -> None: ...


@dataclass(slots=True, eq=False)
class Running:
    """A running request: ``cached`` tokens have keys and values; ``token`` is the next input."""

    request: GenerationRequest
    sampler: Sampler
    cached: int
    token: int = -1
    produced: int = 0


class Batching(ABC):
    """Continuous batching, independent of the device."""

    def __init__(self, slots: Cache, max_batch_size: int, max_context_tokens: int) -> None:
        self._slots = slots
        self._max_batch_size = max_batch_size
        self._max_context_tokens = max_context_tokens
        self._sequences: list[Running] = []  # the index is the slot in the cache

    @abstractmethod
    def prefill(self, requests: Sequence[GenerationRequest]) -> list[TokenEvent]:
        """Run the prompts as one batch, add them to the running requests and return the first
        token of each. Raise ``ValueError``, changing nothing, if a batch or prompt does not fit."""

    @abstractmethod
    def decode(self, only: Container[int] | None = None) -> list[TokenEvent]:
        """Produce one more token of every running request, or only of those whose ids are in
        ``only``; the others do not change."""

    def _first(self, only: Container[int] | None) -> list[Running]:
        """Move the requests to advance to the first slots, where a step works; return them."""
        if only is None:
            return list(self._sequences)
        front = 0
        for slot, sequence in enumerate(self._sequences):
            if sequence.request.request_id in only:
                if slot != front:
                    self._swap(front, slot)
                front += 1
        return self._sequences[:front]

    def _swap(self, first: int, second: int) -> None:
        held = self._sequences
        self._slots.swap(first, second, max(held[first].cached, held[second].cached))
        held[first], held[second] = held[second], held[first]

    def prepare(self) -> bool:
        """Do one part of the preparation that the first requests would otherwise wait for; return
        whether parts are left. Does nothing while requests run."""
        return False

    @property
    def running(self) -> tuple[int, ...]:
        """Ids of the running requests, which :meth:`decode` advances."""
        return tuple(sequence.request.request_id for sequence in self._sequences)

    @property
    def kv_bytes(self) -> int:
        """Memory of keys and values in bytes; 0 when no request runs."""
        return self._slots.nbytes

    @property
    def kv_bytes_per_token(self) -> int:
        return self._slots.bytes_per_token

    def cancel(self, request_id: int) -> bool:
        """Stop a request and free its slot; return whether it was running."""
        for slot, sequence in enumerate(self._sequences):
            if sequence.request.request_id == request_id:
                self._free(slot)
                return True
        return False

    def part(self, request_id: int) -> RequestSnapshot:
        """Remove a running request so that another engine of the same backbone can continue it."""
        ids = self.running
        slot = ids.index(request_id)
        running = self._sequences[slot]
        generator = running.sampler.generator
        draws = None if generator is None else generator.get_state()
        kv = self._slots.take(slot, running.cached)
        self._free(slot)
        return RequestSnapshot(running.request, running.token, running.produced, draws, kv)

    def join(self, parted: RequestSnapshot) -> None:
        """Continue a request of another engine where it stopped. Raise ``ValueError`` if all slots
        are in use."""
        self._check([parted.request])
        running = start_sequence(parted.request)
        running.cached, running.token = parted.cached, parted.token
        running.produced = parted.produced
        if running.sampler.generator is not None and parted.draws is not None:
            running.sampler.generator.set_state(parted.draws)
        slot = len(self._sequences)
        self._slots.put(slot, parted.kv)
        self._slots.touch(slot, parted.cached)
        self._sequences.append(running)

    def _check(self, requests: Sequence[GenerationRequest]) -> None:
        room = self._max_batch_size - len(self._sequences)
        if not 0 < len(requests) <= room:
            raise ValueError(f"a batch of {len(requests)} requests, free slots: {room}")
        for request in requests:
            if not 0 < len(request.prompt_ids) < self._max_context_tokens:
                raise ValueError(
                    f"request {request.request_id}: a prompt of {len(request.prompt_ids)} tokens;"
                    f" 1 to {self._max_context_tokens - 1} are allowed"
                )
            if request.max_tokens < 1:
                raise ValueError(f"request {request.request_id}: max_tokens must be positive")

    def _advance(self, sequences: Sequence[Running], tokens: list[int]) -> list[TokenEvent]:
        events = []
        for sequence, token in zip(sequences, tokens, strict=True):
            sequence.token = token
            sequence.produced += 1
            finished = self._finished(sequence)
            events.append(TokenEvent(sequence.request.request_id, token, finished))
            slot = self._sequences.index(sequence)
            self._slots.touch(slot, sequence.cached)
            if finished:
                self._free(slot)
        return events

    def _finished(self, sequence: Running) -> Finish | None:
        request = sequence.request
        if not request.ignore_eos and sequence.token in request.stop_token_ids:
            return "stop"
        full = sequence.cached + 1 >= self._max_context_tokens
        return "length" if full or sequence.produced >= request.max_tokens else None

    def _free(self, slot: int) -> None:
        """Move the last slot's sequence into the freed slot, so that used slots stay contiguous."""
        last = self._sequences.pop()
        if slot < len(self._sequences):
            self._slots.move(len(self._sequences), slot, last.cached)
            self._sequences[slot] = last
        if not self._sequences:
            self._slots.release()


def samplers_of(sequences: Sequence[Running]) -> list[Sampler]:
    return [sequence.sampler for sequence in sequences]


def start_sequence(request: GenerationRequest) -> Running:
    sampler = Sampler.of(request.temperature, request.top_p, request.seed)
    return Running(request, sampler, cached=len(request.prompt_ids))
