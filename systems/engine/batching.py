"""The set of running requests and their slots in the KV cache."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from dataclasses import dataclass

from .migration import RequestSnapshot
from .pieces import Piece
from .requests import Finish, GenerationRequest, TokenEvent
from .sampling import Sampler
from .slots import Slots


@dataclass(frozen=True, slots=True)
class MixedTokens:
    """What one pass produced: the ``first`` tokens of complete prompts, and the ``further`` ones of
    running requests."""

    first: list[TokenEvent]
    further: list[TokenEvent]


@dataclass(slots=True, eq=False)
class Running:
    """A request in a slot: ``cached`` tokens have keys and values; ``token`` is the next input once
    the prompt is complete."""

    request: GenerationRequest
    sampler: Sampler
    cached: int = 0
    token: int = -1
    produced: int = 0


class Batching(ABC):
    """Continuous batching, independent of the device. Prompts may be computed in pieces, between
    which the running requests decode. ``piece_tokens``: the most prompt tokens of a piece; None:
    prompts are computed whole."""

    def __init__(
        self,
        slots: Slots,
        vocab_size: int,
        max_batch_size: int,
        max_context_tokens: int,
        piece_tokens: int | None,
    ) -> None:
        self._slots = slots
        self._vocab_size = vocab_size
        self._max_batch_size = max_batch_size
        self._max_context_tokens = max_context_tokens
        self._piece_tokens = piece_tokens
        # The index is the slot in the cache. The first ``_ready`` run; the prompts of the others
        # are being computed, in this order.
        self._sequences: list[Running] = []
        self._ready = 0

    def prefill(self, requests: Sequence[GenerationRequest]) -> list[TokenEvent]:
        """Run the prompts whole as one batch, add them to the running requests and return the first
        token of each. Raise ``ValueError`` as :meth:`begin` does."""
        self.begin(requests)
        return self.advance(whole=True)

    def begin(self, requests: Sequence[GenerationRequest]) -> None:
        """Give each request a slot; :meth:`advance` computes their prompts. Raise ``ValueError``,
        changing nothing, if a batch or prompt does not fit."""
        self._check(requests)
        joined = [start_sequence(request) for request in requests]
        self._admit(joined)
        self._slots.hold(len(self._sequences) + len(joined))
        self._sequences += joined

    def advance(self, *, whole: bool = False) -> list[TokenEvent]:
        """Compute the next piece of the prompts that were begun, or, if ``whole``, all that is left
        of them. Return the first tokens of the requests whose prompts are complete; they run from
        now on."""
        most = None if whole else self._piece_tokens
        events = self._compute(most) if self.prefilling else []
        while most is None and self.prefilling:
            events += self._compute(most)
        return events

    @abstractmethod
    def decode(self, only: Container[int] | None = None) -> list[TokenEvent]:
        """Produce one more token of every running request, or only of those whose ids are in
        ``only``; the others do not change."""

    def mix(self, only: Container[int]) -> MixedTokens | None:  # noqa: ARG002
        """Compute the next piece of the prompts that were begun and one more token of the running
        requests whose ids are in ``only`` in one pass. None: nothing was computed, since there are
        not both, or the engine has no such pass for them."""
        return None

    @abstractmethod
    def _compute(self, most: int | None) -> list[TokenEvent]:
        """Run one pass over the next prompts, at most ``most`` tokens of them (None: as many as is
        efficient). Return the first tokens of those that are complete."""

    @abstractmethod
    def _admit(self, sequences: Sequence[Running]) -> None:
        """Raise an error if the adapter of a sequence cannot be used now."""

    def _complete(self, pieces: Sequence[Piece]) -> list[Running]:
        """Record that the first pieces were computed; return the sequences whose prompts are
        complete, which run from now on. Only the last piece may leave a prompt incomplete."""
        complete = []
        for piece in pieces:
            sequence = self._sequences[piece.slot]
            sequence.cached = piece.stop
            self._slots.touch(piece.slot, piece.stop)
            if piece.final:
                complete.append(sequence)
        self._ready += len(complete)
        return complete

    def _first(self, only: Container[int] | None) -> list[Running]:
        """Move the requests to advance to the first slots, where a step works; return them. Each of
        the others that is in a place of theirs changes places once: that copies its cache."""
        if only is None:
            return self._sequences[: self._ready]
        chosen = [each.request.request_id in only for each in self._sequences[: self._ready]]
        count = sum(chosen)
        others = (slot for slot in range(count) if not chosen[slot])
        misplaced = (slot for slot in range(count, self._ready) if chosen[slot])
        for first, second in zip(others, misplaced, strict=True):
            self._swap(first, second)
        return self._sequences[:count]

    def _swap(self, first: int, second: int) -> None:
        held = self._sequences
        self._slots.swap(first, second)
        held[first], held[second] = held[second], held[first]

    def prepare(self) -> bool:
        """Do one part of the preparation that the first requests would otherwise wait for; return
        whether parts are left. Does nothing while requests run."""
        return False

    @property
    def running(self) -> tuple[int, ...]:
        """Ids of the running requests, which :meth:`decode` advances."""
        return tuple(each.request.request_id for each in self._sequences[: self._ready])

    @property
    def prefilling(self) -> tuple[int, ...]:
        """Ids of the requests whose prompts are not complete, which :meth:`advance` computes."""
        return tuple(each.request.request_id for each in self._sequences[self._ready :])

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values in use."""
        return self._slots.nbytes

    @property
    def kv_bytes_per_token(self) -> int:
        return self._slots.bytes_per_token

    def cancel(self, request_id: int) -> bool:
        """Stop a request and free its slot; return whether it had one."""
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
        """Continue a request of another engine where it stopped. Raise ``ValueError``, changing
        nothing, if all slots are in use."""
        self._check([parted.request])
        running = start_sequence(parted.request)
        running.cached, running.token = parted.cached, parted.token
        running.produced = parted.produced
        if running.sampler.generator is not None and parted.draws is not None:
            running.sampler.generator.set_state(parted.draws)
        self._slots.hold(len(self._sequences) + 1)
        self._slots.put(len(self._sequences), parted.kv)
        self._sequences.append(running)
        if self.prefilling:
            self._swap(self._ready, len(self._sequences) - 1)
        self._ready += 1

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
            lowest, highest = min(request.prompt_ids), max(request.prompt_ids)
            if lowest < 0 or highest >= self._vocab_size:
                # A kernel would read the embedding of such an id from another place in memory.
                raise ValueError(
                    f"request {request.request_id}: token ids {lowest} to {highest};"
                    f" 0 to {self._vocab_size - 1} are allowed"
                )
            if request.max_tokens < 1:
                raise ValueError(f"request {request.request_id}: max_tokens must be positive")

    def _stepped(self, sequences: Sequence[Running]) -> None:
        """Record that a step stored one more token in each of the first slots."""
        for slot, sequence in enumerate(sequences):
            sequence.cached += 1
            self._slots.touch(slot, sequence.cached)

    def _produce(self, sequences: Sequence[Running], tokens: list[int]) -> list[TokenEvent]:
        events = []
        for sequence, token in zip(sequences, tokens, strict=True):
            sequence.token = token
            sequence.produced += 1
            finished = self._finished(sequence)
            events.append(TokenEvent(sequence.request.request_id, token, finished))
            if finished:
                self._free(self._sequences.index(sequence))
        return events

    def _finished(self, sequence: Running) -> Finish | None:
        request = sequence.request
        if not request.ignore_eos and sequence.token in request.stop_token_ids:
            return "stop"
        full = sequence.cached + 1 >= self._max_context_tokens
        return "length" if full or sequence.produced >= request.max_tokens else None

    def _free(self, slot: int) -> None:
        """Free a slot and clear it. Later sequences move up, so that used slots stay contiguous and
        those of running requests come first."""
        if slot < self._ready:
            self._ready -= 1
            slot = self._fill(slot, self._ready)
        slot = self._fill(slot, len(self._sequences) - 1)
        self._sequences.pop()
        if self._sequences:
            self._slots.clear(slot)
        else:
            self._slots.release()

    def _fill(self, target: int, source: int) -> int:
        """Move the sequence of slot ``source`` to slot ``target``; return ``source``."""
        if target != source:
            self._slots.move(source, target)
            self._sequences[target] = self._sequences[source]
        return source


def samplers_of(sequences: Sequence[Running]) -> list[Sampler]:
    return [sequence.sampler for sequence in sequences]


def start_sequence(request: GenerationRequest) -> Running:
    sampler = Sampler.of(request.temperature, request.top_p, request.seed)
    return Running(request, sampler)
