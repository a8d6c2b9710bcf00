"""Metrics of service: shares of the requests, and rates. The denominator is every request of the
schedule, including failures and unsent requests (measurement rule 8)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..stats import Series
from .frame import Flags, Floats, Frame
from .metric import Metric
from .observation import Scaled


def _share(flags: Callable[[Frame], Flags]) -> Callable[[Frame], Scaled]:
    return lambda frame: Scaled(Series.of(flags(frame).astype(np.float64)), share=True)


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
        "slo_attainment",
        "SLO attainment",
        "A",
        "1",
        "Share of the requests that were answered and whose first token arrived within their"
        " objective, counted from the intended send.",
        "|{i : ok_i ∧ TTFT*_i ≤ SLO_i}| / n",
        "higher",
        _share(lambda frame: frame.slo_met),
    ),
    Metric(
        "slo_violation_rate",
        "SLO violations",
        "V",
        "1",
        "Share of the requests that failed or missed their objective.",
        "1 − A",
        "lower",
        _share(lambda frame: ~frame.slo_met),
    ),
    Metric(
        "goodput_rps",
        "goodput",
        "G",
        "1/s",
        "Requests per second that met their objective.",
        "A · n / T",
        "higher",
        lambda frame: flagged_rate(frame, frame.slo_met, frame.duration_s),
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
