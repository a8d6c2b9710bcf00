"""What the client's processes are told, over their standard input: nothing of it, a key in a
header for one, touches the disk or a command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from systems.interface import Route


class Plan(BaseModel):
    """One run of the client."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Path
    base_url: str
    out_dir: Path
    workers: PositiveInt
    elsewhere: NonNegativeInt = 0
    """How many of them are on other hosts."""
    timeout_s: PositiveFloat
    lead_s: PositiveFloat
    web_port: int | None = Field(default=None, ge=1, le=65535)
    headers: Mapping[str, str] = Field(default_factory=dict)
    routes: Mapping[str, Route] = Field(default_factory=dict)
    """Of functions that are not at ``base_url`` under their own name."""
    master_port: int = 0
    """Where Locust's master listens for its workers; 0 where there is one process."""

    clock_offset_ns: int = 0
    """Of the host that reads this, less the clock of Locust's master."""

    @property
    def solo(self) -> bool:
        """One process is master and worker."""
        return self.workers == 1 and not self.elsewhere

    @property
    def log(self) -> Path:
        """What Locust and the senders write to standard error."""
        return self.out_dir / "locust.log"

    def part(self, worker: int) -> Path:
        return self.out_dir / f"client-{worker}.arrows"
