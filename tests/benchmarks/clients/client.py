"""What every client measured here has to say of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Load(NamedTuple):
    """``requests``, ``1/rate_rps`` s apart, each for ``tokens`` tokens."""

    base_url: str
    model: str
    rate_rps: int
    requests: int
    prompt_tokens: int
    tokens: int
    tokenizer: Path


class Timed(NamedTuple):
    """One request by the client's own account: when it began, on any clock, and its TTFT."""

    start_s: float
    ttft_ms: float


@dataclass(frozen=True, slots=True)
class Client:
    """``command(load, folder)`` to be run in ``folder``; ``read(folder)`` what it exported, a
    request each. ``program`` is what must be there for it to run."""

    name: str
    program: Path
    command: Callable[[Load, Path], Sequence[str]]
    read: Callable[[Path], list[Timed]]
