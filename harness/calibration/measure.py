"""Runs the client against the reference server and compares the times of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from systems.runtime.swept_folder import swept

from ..errors import HarnessError
from ..reference_server import running_reference_server
from ..replay.client import replay
from ..replay.following import Progress
from ..replay.generator import LoadGenerator
from ..replay.result import LATENESS_BUDGET_S, ReplayResult
from .machine import MachineProbe
from .phases import TOKENS_PER_S, Phase, sending, streaming
from .result import SKEW_P50_MS, SKEW_P99_MS, Calibration, Machine, Percentiles

OnProgress = Callable[[Progress], None] | None

RATE_RPS, STREAMS = 500, 256
_RATES = (1000, 1500, 2000, 3000, 4000, 6000, 8000)
_STREAMS = (384, 512, 768, 1024, 1536, 2048)
_TIMEOUT_S = 20.0
_PACE_SLACK = 1.1
"""A phase has kept its pace if its gaps are at most this many times the requested gap."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of one phase. ``pace``: the server's mean gap over the requested one."""

    lateness: Percentiles
    skew: Percentiles
    pace: float
    failed: int
    cpu_us_per_event: float
    machine: Machine

    @property
    def trusted(self) -> bool:
        """Whether a run with this load would be valid: all requests answered at the requested pace,
        lateness within a run's budget, skew within its targets."""
        return (
            not self.failed
            and self.pace <= _PACE_SLACK
            and self.lateness.p99 <= LATENESS_BUDGET_S * 1e3
            and self.skew.p50 <= SKEW_P50_MS
            and self.skew.p99 <= SKEW_P99_MS
        )


def calibrate(quick: bool = False, *, on_progress: OnProgress = None) -> Calibration:
    """Calibrate. ``quick``: 512 requests/s and 256 streams in one run of a few seconds. Otherwise:
    500 requests/s, then 256 streams, then more of each until a run would be invalid. Raises
    :class:`HarnessError` if the client cannot run at all."""
    return _quick(on_progress) if quick else _full(on_progress)


def _quick(on_progress: OnProgress) -> Calibration:
    both = streaming(STREAMS, 1.0, tokens=25)
    trial = _try(both, on_progress)
    return Calibration(
        lateness_ms=trial.lateness,
        ttft_skew_ms=trial.skew,
        cpu_us_per_event=trial.cpu_us_per_event,
        max_rate_rps=None,
        max_streams=None,
        rate_rps=both.rate_rps,
        streams=STREAMS,
        machine=trial.machine,
    )


def _full(on_progress: OnProgress) -> Calibration:
    send = _try(sending(RATE_RPS, 4.0), on_progress)
    read = _try(streaming(STREAMS, 4.0), on_progress)
    return Calibration(
        lateness_ms=send.lateness,
        ttft_skew_ms=read.skew,
        cpu_us_per_event=read.cpu_us_per_event,
        max_rate_rps=_highest(_RATES, RATE_RPS, send, sending, on_progress),
        max_streams=_highest(_STREAMS, STREAMS, read, streaming, on_progress),
        rate_rps=RATE_RPS,
        streams=STREAMS,
        machine=read.machine,
    )


def _highest(
    ladder: Sequence[int],
    base: int,
    at_base: Trial,
    phase_of: Callable[[int, float], Phase],
    on_progress: OnProgress,
) -> int:
    """Return the last rung before the first untrusted one; 0 if ``base`` itself is untrusted."""
    if not at_base.trusted:
        return 0
    highest = base
    for rung in ladder:
        if not _try(phase_of(rung, 2.0), on_progress).trusted:
            break
        highest = rung
    return highest


def _try(phase: Phase, on_progress: OnProgress) -> Trial:
    with (
        swept("slbench-calibrate-") as folder,
        LoadGenerator(folder) as generator,
        running_reference_server() as server,
    ):
        with MachineProbe() as probe:
            result = replay(
                phase.schedule(),
                server.base_url,
                folder,
                timeout_s=_TIMEOUT_S,
                on_progress=on_progress,
                generator=generator,
            )
        return _trial(result, server.log(), probe.machine())


def _trial(result: ReplayResult, log: Mapping[int, Any], machine: Machine) -> Trial:
    names = ["request_id", "status", "scheduled_ns", "sent_ns", "first_token_ns"]
    rows = result.table.select(names).to_pylist()
    good = [row for row in rows if row["status"] == "ok" and row["request_id"] in log]
    if not good or result.cpu_us_per_event is None:
        raise HarnessError(f"calibration: {len(rows) - len(good)} of {len(rows)} requests failed")
    sent = [log[row["request_id"]]["sent"] for row in good]
    seen = [row["first_token_ns"] + result.start_ns for row in good]
    return Trial(
        lateness=Percentiles.of_ns([row["sent_ns"] - row["scheduled_ns"] for row in good]),
        skew=Percentiles.of_ns(np.subtract(seen, [pieces[0][0] for pieces in sent])),
        pace=_pace(sent),
        failed=len(rows) - len(good),
        cpu_us_per_event=round(result.cpu_us_per_event, 2),
        machine=machine,
    )


def _pace(answers: Sequence[Sequence[Any]]) -> float:
    gaps = [(sent[-1][0] - sent[0][0]) / (len(sent) - 1) for sent in answers if len(sent) > 1]
    return float(np.mean(gaps)) * TOKENS_PER_S / 1e9 if gaps else 1.0
