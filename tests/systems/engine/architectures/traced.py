"""Runs requests of several functions through an engine and compares every token's logits with those
of transformers and peft."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

import systems.engine.cuda.engine as on_device
import systems.engine.engine as on_cores
from systems.engine.requests import TokenEvent
from tests.systems.engine.driving import Prompt, prompts, request

from .ways import OWN, SHARED, Loaded

TOKENS = 6
FUNCTIONS = (None, "f0", "f1", "f0", None, "f1")
LENGTHS = (30, 150, 1, 70, 12, 100)
EXACT = 1e-4
"""Of the logits' standard deviation: what float32 sums of another order differ by."""


@dataclass(frozen=True)
class Asked:
    function: str | None
    prompt: Prompt


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


def requests(vocabulary: int = 1024) -> dict[int, Asked]:
    batch = prompts(LENGTHS, vocabulary)
    return {n: Asked(FUNCTIONS[n], prompt) for n, prompt in enumerate(batch)}


def run(way: str, loaded: Loaded, asked: Mapping[int, Asked]) -> Trace:
    """Run the requests: prompts in pieces beside what decodes, and as one batch, then steps."""
    trace = Trace()
    with _recorded() as rows:
        if way in SHARED:
            _drive(SHARED[way](loaded), asked, trace, rows, named=True, prepared=loaded.graphs)
            return trace
        for function in dict.fromkeys(FUNCTIONS):
            own = {n: each for n, each in asked.items() if each.function == function}
            engine = OWN[way](loaded, function)
            named = hasattr(engine, "merge")
            _drive(engine, own, trace, rows, named=named, prepared=loaded.graphs)
    return trace


def _drive(
    engine: Any,
    asked: Mapping[int, Asked],
    trace: Trace,
    rows: list[Tensor],
    *,
    named: bool,
    prepared: bool,
) -> None:
    made = [
        request(n, each.prompt, TOKENS, adapter=each.function if named else None)
        for n, each in asked.items()
    ]
    half = (len(made) + 1) // 2
    while prepared and engine.prepare():
        pass
    engine.begin(made[:half])
    while engine.prefilling:
        trace.add(engine.advance(), rows)
        trace.add(engine.decode(), rows)
    if made[half:]:
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


@torch.inference_mode()
def compared(trace: Trace, asked: Mapping[int, Asked], loaded: Loaded) -> tuple[float, bool]:
    """Compare with the oracle's logits after the same tokens. Return by how much any logit differs,
    in standard deviations, and whether each token is the oracle's most likely one."""
    worst, same = 0.0, True
    for number, each in asked.items():
        found = trace.tokens[number]
        assert len(found) == TOKENS
        text = torch.tensor([[*each.prompt, *found[:-1]]])
        logits = loaded.oracle(each.function)(input_ids=text).logits[0]
        wanted = logits[len(each.prompt) - 1 :]
        apart = (torch.stack(trace.logits[number]) - wanted).abs().max() / wanted.std()
        worst = max(worst, float(apart))
        same = same and found == wanted.argmax(1).tolist()
    return worst, same
