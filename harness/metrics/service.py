"""Metrics of service: shares of the requests, and rates. The denominator is every request of the
schedule, including failures and unsent requests (measurement rule 8)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..stats import Series
from .frame import Flags, Floats, Frame
from .metric import Metric
from .observation import Observation, Scaled


def _share(flags: Callable[[Frame], Flags]) -> Callable[[Frame], Scaled]:
    return lambda frame: Scaled(Series.of(flags(frame).astype(np.float64)), share=True)


def of_objectives(
    of: Callable[[Frame], Observation | None],
) -> Callable[[Frame], Observation | None]:
    """Apply ``of`` if it is known of every answer whether it met its objectives."""
    return lambda frame: of(frame) if all(frame.objectives.known.values()) else None


def _attainment(objective: str, title: str, limited: str, formula: str) -> Metric:
    share = _share(lambda frame: frame.objectives.met[objective])

    def observe(frame: Frame) -> Scaled | None:
        found = frame.objectives
        return share(frame) if found.set_[objective] and found.known[objective] else None

    return Metric(
        f"slo_{objective}_attainment",
        f"{title} SLO attainment",
        f"A_{title}",
        "1",
        f"Share of the requests that were answered and met their objective for {limited}; null if"
        " none has one.",
        f"|{{i : ok_i ∧ {formula} ≤ SLO_i}}| / n",
        "higher",
        observe,
    )


def _start_type(start_type: str, meaning: str) -> Metric:
    of_start_type = _share(lambda frame: frame.is_("start_type", start_type))
    return Metric(
        f"{start_type}_share",
        f"{start_type} share",
        f"f_{start_type}",
        "1",
        f"Share of the requests that were {start_type}: {meaning}.",
        f"n_{start_type} / n",
        "higher" if start_type == "hot" else "lower",
        lambda frame: of_start_type(frame) if frame.tells_start_types else None,
    )


def flagged_rate(frame: Frame, flags: Flags, per: float) -> Scaled:
    """Rate of requests with the flag per ``per`` (seconds or dollars)."""
    return Scaled(Series.of(flags.astype(np.float64)), float(frame.n), per, share=True)


def answered_tokens(frame: Frame, tokens: Floats, per: float) -> Scaled | None:
    """Rate of tokens of answered requests per ``per``; a failed request counts as zero tokens. None
    if the server did not count the tokens of every response: a partial sum would look complete."""
    counted = np.where(frame.ok, tokens, 0.0)
    return None if np.isnan(counted).any() else Scaled(Series.of(counted), float(frame.n), per)


SERVICE = (
    Metric(
        "success_share",
        "answered",
        "f_ok",
        "1",
        "Share of the requests that were answered in full.",
        "n_ok / n",
        "higher",
        _share(lambda frame: frame.ok),
    ),
    Metric(
        "rejected_share",
        "rejected",
        "f_429",
        "1",
        "Share of the requests that the system rejected for its limits, with HTTP status 429.",
        "n_429 / n",
        "lower",
        _share(lambda frame: frame.is_("status", "http_429")),
    ),
    Metric(
        "slo_attainment",
        "SLO attainment",
        "A",
        "1",
        "Share of the requests that were answered and met all their objectives: for TTFT, and for"
        " TPOT and E2E where the deployment sets them.",
        "|{i : ok_i ∧ TTFT*_i ≤ SLO_i ∧ TPOT_i ≤ SLO_i ∧ E2E*_i ≤ SLO_i}| / n",
        "higher",
        of_objectives(_share(lambda frame: frame.slo_met)),
    ),
    _attainment("ttft", "TTFT", "the first token, counted from the intended send", "TTFT*_i"),
    _attainment("tpot", "TPOT", "the time per output token; one token meets it", "TPOT_i"),
    _attainment("e2e", "E2E", "the last token, counted from the intended send", "E2E*_i"),
    Metric(
        "slo_violation_rate",
        "SLO violations",
        "V",
        "1",
        "Share of the requests that failed or missed an objective.",
        "1 − A",
        "lower",
        of_objectives(_share(lambda frame: ~frame.slo_met)),
    ),
    Metric(
        "goodput_rps",
        "goodput",
        "G",
        "1/s",
        "Requests per second that met all their objectives.",
        "A · n / T",
        "higher",
        of_objectives(lambda frame: flagged_rate(frame, frame.slo_met, frame.duration_s)),
    ),
    Metric(
        "requests_per_s",
        "throughput",
        "X",
        "1/s",
        "Requests answered per second.",
        "n_ok / T",
        "higher",
        lambda frame: flagged_rate(frame, frame.ok, frame.duration_s),
    ),
    Metric(
        "output_tokens_per_s",
        "output throughput",
        "X_out",
        "tokens/s",
        "Output tokens of answered requests per second, by the server's count.",
        "Σ_ok n_out / T",
        "higher",
        lambda frame: answered_tokens(frame, frame.output_tokens, frame.duration_s),
    ),
    Metric(
        "total_tokens_per_s",
        "token throughput",
        "X_tok",
        "tokens/s",
        "Prompt and output tokens of answered requests per second, by the server's count.",
        "Σ_ok (n_in + n_out) / T",
        "higher",
        lambda frame: answered_tokens(
            frame, frame.number("prompt_tokens") + frame.output_tokens, frame.duration_s
        ),
    ),
    _start_type("cold", "something had to be started or loaded"),
    _start_type("warm", "an instance was there, an artifact was not where it runs"),
    _start_type("hot", "everything was in place"),
)
