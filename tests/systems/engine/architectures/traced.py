"""Runs requests of several functions through an engine and compares every token's logits with those
of transformers and peft."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import pytest
import torch
from torch import Tensor

import systems.engine.cuda.engine as on_device
import systems.engine.engine as on_cores
from systems.engine.requests import TokenEvent
from tests.systems.engine.driving import Prompt, prompts, request

from .forms import FORMS, NONE
from .ways import EACH, Loaded, Way

TOKENS = 6
LENGTHS = (30, 150, 1, 70, 12, 100)
EXACT, CARD_EXACT = 1e-4, 1e-3
"""Of the logits' standard deviation: what float32 sums of another order, and functions of a card,
differ by."""


@dataclass(frozen=True)
class Asked:
    form: str
    prompt: Prompt


@dataclass(frozen=True)
class Compared:
    """By how much any logit differs from the oracle's after the same tokens, in standard
    deviations, and whether each token is the oracle's most likely one."""

    furthest: float = 0.0
    same: bool = True

    def beside(self, other: Compared) -> Compared:
        return Compared(max(self.furthest, other.furthest), self.same and other.same)


@dataclass
class Trace:
    """The tokens of each request, and the logits that each was chosen from."""

    tokens: dict[int, list[int]] = field(default_factory=dict)
    logits: dict[int, list[Tensor]] = field(default_factory=dict)

    def add(self, events: Sequence[TokenEvent], rows: list[Tensor]) -> None:
        for event, row in zip(events, rows, strict=True):
            self.tokens.setdefault(event.request_id, []).append(event.token_id)
            self.logits.setdefault(event.request_id, []).append(row)
        rows.clear()


def requests(forms: Sequence[str] = (NONE, *FORMS)) -> dict[int, Asked]:
    """Return the requests of each form, in turn, with prompts of mixed lengths."""
    forms = (*forms,) * EACH
    batch = prompts([length for length, _ in zip(cycle(LENGTHS), forms, strict=False)])
    return {
        n: Asked(form, prompt) for n, (form, prompt) in enumerate(zip(forms, batch, strict=True))
    }


def run(way: Way, loaded: Loaded, asked: Mapping[int, Asked]) -> Trace:
    """Run the requests: prompts in pieces beside what decodes, and as one batch, then steps."""
    trace = Trace()
    with _recorded() as rows:
        all_forms = tuple(dict.fromkeys(each.form for each in asked.values()))
        for forms in [all_forms] if way.shared else [(form,) for form in all_forms]:
            own = {n: each for n, each in asked.items() if each.form in forms}
            engine = way.serve(loaded, forms[0])
            # Graphs of engines that are not prepared are captured at the second use of a shape.
            while way.shared and loaded.graphs and engine.prepare():
                pass
            _drive(engine, own, trace, rows, named=way.named)
    return trace


def _drive(
    engine: Any, asked: Mapping[int, Asked], trace: Trace, rows: list[Tensor], *, named: bool
) -> None:
    made = [
        request(n, each.prompt, TOKENS, adapter=each.form if named and each.form in FORMS else None)
        for n, each in asked.items()
    ]
    half = (len(made) + 1) // 2
    engine.begin(made[:half])
    while engine.prefilling:
        trace.add(engine.advance(), rows)
        trace.add(engine.decode(), rows)
    trace.add(engine.prefill(made[half:]), rows)
    trace.add(engine.decode({made[-1].request_id}), rows)
    while engine.running:
        trace.add(engine.decode(), rows)


@contextmanager
def _recorded() -> Iterator[list[Tensor]]:
    """Record the logits of every token that an engine chooses."""
    rows: list[Tensor] = []
    choose, choose_there = on_cores.choose_tokens, on_device._choose

    def cores(logits: Tensor, samplers: Sequence[Any]) -> list[int]:
        rows.extend(logits[: len(samplers)].clone())
        return choose(logits, samplers)

    def device(sequences: Sequence[Any], logits: Tensor, tokens: Tensor) -> list[int]:
        rows.extend(logits[: len(sequences)].float().cpu().clone())
        return choose_there(sequences, logits, tokens)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_cores, "choose_tokens", cores)
        patch.setattr(on_device, "_choose", device)
        yield rows


def compared(trace: Trace, asked: Mapping[int, Asked], loaded: Loaded) -> dict[str, Compared]:
    """Compare with the oracle, by form."""
    found: dict[str, Compared] = {}
    for number, each in asked.items():
        one = _one(loaded, each, trace.tokens[number], trace.logits[number])
        found[each.form] = found.get(each.form, Compared()).beside(one)
    return found


def _one(loaded: Loaded, asked: Asked, tokens: list[int], logits: list[Tensor]) -> Compared:
    assert len(tokens) == TOKENS
    text = (*asked.prompt, *tokens[:-1])
    wanted = loaded.oracle(asked.form, text)[len(asked.prompt) - 1 :]
    apart = (torch.stack(logits) - wanted).abs().max() / wanted.std()
    return Compared(float(apart), tokens == wanted.argmax(1).tolist())
