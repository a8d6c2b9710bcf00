"""Prompt and output lengths by name, each with the source of its parameters.

If only a mean is published, the spread is that of conversations in the Azure LLM inference trace
2023 (log-standard deviations 0.985 of prompts, 0.859 of outputs); ``source`` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp

from .lengths import Lengths, LogNormal

_PROMPT_SIGMA, _OUTPUT_SIGMA = 0.985, 0.859
_SHAREGPT = (
    "means of ShareGPT in Kwon et al., SOSP 2023, section 6 (161.31 and 337.99 tokens); the spread"
    " of conversations in the Azure LLM inference trace 2023"
)
_GSM8K = (
    "3,963,202 bytes of questions and answers in 7,473 rows"
    " (huggingface.co/datasets/Tianduo/gsm8k-split), that is 530 a row, assumed half and half, four"
    " bytes a token, log-standard deviation 0.4"
)


def _of_mean(mean: float, sigma: float, source: str, high: int) -> LogNormal:
    return LogNormal(
        median=round(mean * exp(-(sigma**2) / 2), 1), sigma=sigma, high=high, source=source
    )


NAMED: Mapping[str, tuple[Lengths, Lengths]] = {
    "sharegpt-like": (
        _of_mean(161.31, _PROMPT_SIGMA, _SHAREGPT, 2048),
        _of_mean(337.99, _OUTPUT_SIGMA, _SHAREGPT, 2048),
    ),
    "gsm8k-like": (
        _of_mean(530 / 8, 0.4, _GSM8K, 512),
        _of_mean(530 / 8, 0.4, _GSM8K, 512),
    ),
}
