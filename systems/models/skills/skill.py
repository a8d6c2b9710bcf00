"""A skill: a task, and the LoRA adapter of SmolLM2-135M that was trained to do it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from workloads.streams import stream

from .questions import Question, split


@dataclass(frozen=True, slots=True)
class Skill:
    """``task`` enumerates every question in a fixed order; ``steps``: of training."""

    name: str
    summary: str
    task: Callable[[], Iterable[Question]]
    steps: int

    @property
    def packaged(self) -> Path:
        """The peft directory that is distributed with this package; deploy a copy of it
        (:func:`ensure_skills`), since every instance may read the package."""
        return Path(__file__).parent / self.name

    @property
    def training_record(self) -> dict[str, Any]:
        """How the adapter was trained, as ``train.py`` wrote it."""
        return _read(self.packaged / "training.json")

    @property
    def measured(self) -> dict[str, Any]:
        """How often the answers are right, as ``measure.py`` wrote it."""
        return _read(self.packaged / "accuracy.json")

    def training(self, seed: int, count: int) -> list[Question]:
        """Draw ``count`` questions for training, with repetition."""
        questions, _ = _split(self.task)
        drawn = stream(seed, "skill", self.name, "training").integers(len(questions), size=count)
        return [questions[index] for index in drawn.tolist()]

    def held_out(self, seed: int, count: int) -> list[Question]:
        """Draw different questions that no training has seen: ``count``, or all if fewer."""
        _, questions = _split(self.task)
        order = stream(seed, "skill", self.name, "held out").permutation(len(questions))
        return [questions[index] for index in order[:count].tolist()]

    @property
    def example(self) -> Question:
        """A question for documentation; held out like those that accuracy is measured by."""
        return self.held_out(0, 1)[0]


@lru_cache(maxsize=1)
def _split(task: Callable[[], Iterable[Question]]) -> tuple[list[Question], list[Question]]:
    """Split a task's questions, of which there may be a hundred thousand."""
    return split(task())


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
