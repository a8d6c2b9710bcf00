"""The loads of a calibration."""

from __future__ import annotations

from dataclasses import dataclass

from workloads.streams import stream

from ..replay.schedule import Schedule

TOKENS_PER_S = 50
PROMPT_TOKENS = 64
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Phase:
    """``rate_rps`` Poisson arrivals per second for ``seconds``; each response has ``tokens`` tokens
    at ``TOKENS_PER_S``."""

    name: str
    rate_rps: float
    seconds: float
    tokens: int

    @property
    def model(self) -> str:
        return f"{self.name}.ttft-2.gap-{1000 // TOKENS_PER_S}"

    def schedule(self, seed: int = 0) -> Schedule:
        draw = stream(seed, "calibration", self.name)
        count = max(1, round(self.rate_rps * self.seconds))
        return Schedule.from_columns(
            request_id=range(count),
            # For a given number, the arrivals of a Poisson process are uniformly distributed.
            scheduled_ns=draw.integers(0, int(self.seconds * _NS), count),
            function_id=[self.model] * count,
            prompt_ids=[list(range(PROMPT_TOKENS))] * count,
            output_tokens=[self.tokens] * count,
        )


def sending(rate_rps: float, seconds: float) -> Phase:
    """Load for the dispatcher: requests of a single token."""
    return Phase(f"send{rate_rps:g}", rate_rps, seconds, 1)


def streaming(streams: int, seconds: float, tokens: int = 50) -> Phase:
    """Load for the reader: ``streams`` concurrent streams on average, once the first have ended
    (Little's law)."""
    return Phase(f"read{streams}", streams * TOKENS_PER_S / tokens, seconds, tokens)
