"""The first requests of a server, before the load: vLLM compiles kernels for them."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import UnreachableError
from .http import complete

_LENGTHS = (8, 128)
"""Tokens of prompts: vLLM's kernels for adapters are of two kinds, below 128 tokens and from there
(``vllm/lora/ops/triton_ops``, 0.33.0)."""
_TOKEN, _ANSWER = 5, 2


def prompt_lengths(max_context_tokens: int) -> tuple[int, ...]:
    """Return the lengths that fit a context, in tokens."""
    return tuple(each for each in _LENGTHS if each + _ANSWER <= max_context_tokens)


def warm_up(base_url: str, models: Iterable[str], lengths: Iterable[int], timeout_s: float) -> bool:
    """Have each model answer a prompt of each length. Return whether the server could be reached;
    raise ``DeploymentError`` if it refuses one."""
    lengths = tuple(lengths)
    try:
        for model in dict.fromkeys(models):
            for length in lengths:
                asked = {"model": model, "prompt": [_TOKEN] * length, "max_tokens": _ANSWER}
                complete(base_url, asked, timeout_s)
    except UnreachableError:
        return False
    return True
