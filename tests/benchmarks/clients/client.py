"""The interface of a measured client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ENVIRONMENTS = Path(".venv-clients").absolute()
"""Where ``make bench-client`` makes an environment for each peer."""


class Load(NamedTuple):
    """``requests`` requests, ``1/rate_rps`` s apart, each for ``tokens`` output tokens."""

    base_url: str
    model: str
    rate_rps: int
    requests: int
    prompt_tokens: int
    tokens: int
    tokenizer: Path


class Timed(NamedTuple):
    """One request as the client reports it: its start (any clock) and its TTFT."""

    start_s: float
    ttft_ms: float


@dataclass(frozen=True, slots=True)
class Client:
    """``command(load, folder)``: the command to run in ``folder``. ``read(folder)``: the exported
    requests. ``program``: the file that must exist."""

    name: str
    program: Path
    command: Callable[[Load, Path], Sequence[str]]
    read: Callable[[Path], list[Timed]]
