"""The settings of the client's processes. Passed over standard input, so that nothing of it (such
as a key in a header) is on disk or on a command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from systems.interface import Route

from .closed_loop import ClosedLoop
from .form import RequestForm


class Plan(BaseModel):
    """The settings of one run of the client."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Path
    base_url: str
    out_dir: Path
    workers: PositiveInt
    elsewhere: NonNegativeInt = 0
    """Number of workers on other hosts."""
    worker: NonNegativeInt = 0
    """The worker that reads this, and whose share it sends; those of this host come first."""
    timeout_s: PositiveFloat
    lead_s: PositiveFloat
    web_port: int | None = Field(default=None, ge=1, le=65535)
    headers: Mapping[str, str] = Field(default_factory=dict)
    routes: Mapping[str, Route] = Field(default_factory=dict)
    """Routes of functions that ``base_url`` does not serve under their own name."""
    loop: ClosedLoop | None = None
    """None: the load is open, by the schedule's times."""
    form: RequestForm = RequestForm()
    master_port: int = 0
    """Port of Locust's master for its workers; 0 if there is one process."""

    cores: tuple[int, ...] = ()
    """Cores that the workers of this host are dealt; none: they run on any."""
    clock_offset_ns: int = 0
    """Clock of the host that reads this minus the clock of Locust's master."""

    @property
    def solo(self) -> bool:
        """Whether one process is both master and worker."""
        return self.workers == 1 and not self.elsewhere

    @property
    def log(self) -> Path:
        """File with the standard error of Locust and the senders."""
        return self.log_in(self.out_dir)

    @staticmethod
    def log_in(out_dir: Path) -> Path:
        return out_dir / "locust.log"

    def cores_of(self, worker: int) -> tuple[int, ...]:
        """Return the cores of a worker of this host; all if there are fewer than workers here."""
        return self.cores[worker :: max(1, self.workers - self.elsewhere)] or self.cores

    def user_starts_ns(self, worker: int) -> list[int]:
        """Return when the users of a load worker begin; empty if the load is open."""
        return self.loop.starts_ns(worker, self.workers) if self.loop else []

    @property
    def think_ns(self) -> int:
        return self.loop.think_ns if self.loop else 0

    def part(self, worker: int) -> Path:
        return self.out_dir / f"client-{worker}.arrows"
