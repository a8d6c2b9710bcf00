"""What the proxy is started with, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt

StartAt = Literal["deployment", "first-call"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OnDemandServer(_Frozen):
    """A server of the proxy. ``models``: the model names that it serves, which calls use too."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    base_url: str
    models: tuple[str, ...]
    function_id: str | None
    """The only function that it serves; None if several."""
    weights_bytes: NonNegativeInt
    """What it keeps in host memory once it has slept."""


class Config(_Frozen):
    servers: tuple[OnDemandServer, ...]
    host: str
    port: PositiveInt
    device: str
    sleeps: bool
    """Whether the servers can sleep; those that cannot end instead."""
    start: StartAt
    """``deployment``: before the proxy answers, each starts and is put to sleep."""
    slots: PositiveInt
    """Servers that may be awake at once."""
    turn_s: PositiveFloat
    keep_alive_s: PositiveFloat
    request_timeout_s: PositiveFloat
    start_timeout_s: PositiveFloat
    sleep_timeout_s: PositiveFloat
    """For going to sleep and for waking."""
    warm_up_tokens: tuple[PositiveInt, ...] = ()
    """Lengths of prompts that each model answers before its server first sleeps."""
    folder: str = ""
    """Where the servers' logs and the journal are written."""

    @property
    def journal(self) -> str:
        return f"{self.folder}/proxy.jsonl"
