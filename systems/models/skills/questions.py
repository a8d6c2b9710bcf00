"""Questions with one right answer, and the split into those of training and those held out."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

_ONE_IN = 5
"""One question in so many is held out."""


@dataclass(frozen=True, slots=True)
class Question:
    """``text``: what a user asks about. The model gets ``prompt`` and answers ``completion``."""

    text: str
    answer: str

    @property
    def prompt(self) -> str:
        return f"{self.text} ->"

    @property
    def completion(self) -> str:
        """The text to generate; the end-of-turn token follows."""
        return f" {self.answer}"

    @property
    def held_out(self) -> bool:
        """Whether training must not use it. Depends on the text alone, so no seed moves it."""
        return zlib.crc32(self.text.encode()) % _ONE_IN == 0

    def answered_by(self, generated: str) -> bool:
        """Return whether the generated text is exactly the answer, apart from outer spaces."""
        return generated.strip() == self.answer


def split(questions: Iterable[Question]) -> tuple[list[Question], list[Question]]:
    """Return the questions for training and the held-out ones."""
    training: list[Question] = []
    held_out: list[Question] = []
    for question in questions:
        (held_out if question.held_out else training).append(question)
    return training, held_out
