"""The requests that run: who joins, who has ended, who holds which slot of the cache."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .parting import Parted
from .requests import Finish, GenerationRequest, TokenEvent
from .sampling import Sampler


class Cache(Protocol):
    """Keys and values, a slot a request; slots 0 … n-1 are in use."""

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
    """A running request: ``cached`` tokens have keys and values, ``token`` is yet to be fed."""

    request: GenerationRequest
    sampler: Sampler
    cached: int
    token: int = -1
    produced: int = 0


class Batching(ABC):
    """What engines have in common, whatever they run on."""

    def __init__(self, slots: Cache, max_batch_size: int, max_context_tokens: int) -> None:
        self._slots = slots
        self._max_batch_size = max_batch_size
        self._max_context_tokens = max_context_tokens
        self._sequences: list[Running] = []  # its index is its slot in the cache

    @abstractmethod
    def prefill(self, requests: Sequence[GenerationRequest]) -> list[TokenEvent]:
        """Run the prompts as one batch and let them join those running; each one's first token.
        ``ValueError``, with nothing changed, for a batch or a prompt that does not fit."""

    @abstractmethod
    def decode(self, only: Container[int] | None = None) -> list[TokenEvent]:
        """One more token of every running request, or of those whose ids are in ``only``; the
        others stay as they are."""

    def _first(self, only: Container[int] | None) -> list[Running]:
        """Those that are to advance, brought to the first slots, which is where a step works."""
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
        """Do a little of what the first requests would wait for, whatever that is here; whether
        some is left. Nothing is done while anything runs."""
        return False

    @property
    def running(self) -> tuple[int, ...]:
        """Ids of the requests that :meth:`decode` will advance."""
        return tuple(sequence.request.request_id for sequence in self._sequences)

    @property
    def kv_bytes(self) -> int:
        """Memory that keys and values hold now; none once nothing runs."""
        return self._slots.nbytes

    @property
    def kv_bytes_per_token(self) -> int:
        return self._slots.bytes_per_token

    def cancel(self, request_id: int) -> bool:
        """Stop a request and free its slot; whether it was running."""
        for slot, sequence in enumerate(self._sequences):
            if sequence.request.request_id == request_id:
                self._free(slot)
                return True
        return False

    def part(self, request_id: int) -> Parted:
        """Take a running request out, for another engine of the same backbone to :meth:`join`."""
        ids = self.running
        slot = ids.index(request_id)
        running = self._sequences[slot]
        generator = running.sampler.generator
        draws = None if generator is None else generator.get_state()
        kv = self._slots.take(slot, running.cached)
        self._free(slot)
        return Parted(running.request, running.token, running.produced, draws, kv)

    def join(self, parted: Parted) -> None:
        """Go on with a request where another engine left it. ``ValueError`` where all slots are
        taken."""
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
            raise ValueError(f"a batch of {len(requests)}, there is room for {room}")
        for request in requests:
            if not 0 < len(request.prompt_ids) < self._max_context_tokens:
                raise ValueError(
                    f"request {request.request_id}: a prompt of {len(request.prompt_ids)} tokens;"
                    f" 1 to {self._max_context_tokens - 1} fit"
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
        """The last slot's sequence takes the freed place, so that those in use stay the first."""
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
