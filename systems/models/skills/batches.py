"""Token ids of questions with their answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from .questions import Question


class Batches:
    """Tokenizes with the tokenizer in ``model_dir``."""

    def __init__(self, model_dir: Path) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(model_dir)

    def of(self, questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
        """Return ids, padded on the right, and a mask of the tokens to learn: those of the answer
        and the end-of-turn token."""
        prompts = [self._ids(each.prompt) for each in questions]
        end = self._tokenizer.eos_token_id
        answers = [[*self._ids(each.completion), end] for each in questions]
        rows = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        width = max(map(len, rows))
        ids = torch.tensor([row + [end] * (width - len(row)) for row in rows])
        learned = torch.zeros_like(ids, dtype=torch.bool)
        for mask, prompt, row in zip(learned, prompts, rows, strict=True):
            mask[len(prompt) : len(row)] = True
        return ids, learned

    def text(self, ids: Tensor) -> str:
        text: str = self._tokenizer.decode(ids)
        return text

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text).input_ids
        return ids
