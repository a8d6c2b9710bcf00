"""Generates the answer to one request with ``model.generate``, token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from systems.runtime.calls import Call, Tokens

Say = Callable[[Tokens], None]


def generate(model: Any, call: Call, say: Say, abandoned: Callable[[], bool]) -> None:
    """Run the request to its end, or until it is abandoned. ``say`` takes every token."""
    sampling = call.sampling
    if sampling.temperature > 0:
        torch.manual_seed(sampling.seed)
    ids = torch.tensor([call.prompt_ids], device=model.device)
    following = _Following(call, say, abandoned)
    with torch.inference_mode():
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=_config(call),
            streamer=following,
            stopping_criteria=StoppingCriteriaList([following]),
        )


def _config(call: Call) -> GenerationConfig:
    """The end of a sequence is ours to find: a request may ask to go on after it."""
    limit = {"max_new_tokens": call.max_tokens, "eos_token_id": None, "pad_token_id": 0}
    sampling = call.sampling
    if sampling.temperature == 0:
        return GenerationConfig(do_sample=False, **limit)
    return GenerationConfig(
        do_sample=True,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=0,
        **limit,
    )


class _Following(BaseStreamer, StoppingCriteria):  # type: ignore[misc]
    """Passes tokens on, and ends the generation after the last one or once its reader has left."""

    def __init__(self, call: Call, say: Say, abandoned: Callable[[], bool]) -> None:
        self._call, self._say, self._abandoned = call, say, abandoned
        self._left = call.max_tokens
        self._prompt = True
        self._finished: str | None = None

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt at first, then every token. ``generate`` may compute one too many."""
        if self._prompt or self._finished is not None:
            self._prompt = False
            return
        for token in value.flatten().tolist():
            self._left -= 1
            self._finished = self._reason(token)
            self._say(Tokens((token,), self._finished))

    def _reason(self, token: int) -> str | None:
        if self._stops(token):
            return "stop"
        return "length" if self._left == 0 else None

    def _stops(self, token: int) -> bool:
        sampling = self._call.sampling
        return token in sampling.stop_token_ids and not sampling.ignore_eos

    def end(self) -> None:
        """Do nothing: the last token said that it is the last."""

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:  # noqa: ARG002
        last = int(input_ids[0, -1])
        over = self._abandoned() or self._finished is not None or self._stops(last)
        return torch.full((len(input_ids),), over, dtype=torch.bool, device=input_ids.device)
