"""Times that the sender of a request observes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .frame import Floats, Frame
from .metric import Metric
from .observation import Sample

START_TYPES = ("cold", "warm", "hot")


def _answered(seconds: Callable[[Frame], Floats]) -> Callable[[Frame], Sample]:
    return lambda frame: Sample(frame.answered(seconds(frame)))


def _per(seconds: Floats, counts: Floats) -> Floats:
    """seconds / counts, NaN if the count is not positive."""
    return seconds / np.where(counts > 0, counts, np.nan)


def _tpot(frame: Frame) -> Floats:
    return _per(frame.since("first_token_ns", "last_token_ns"), frame.output_tokens - 1)


def _itl(frame: Frame) -> Sample | None:
    return None if frame.gaps is None else Sample(frame.gaps)


def _of_start_type(start_type: str) -> Callable[[Frame], Sample | None]:
    def observe(frame: Frame) -> Sample | None:
        if not frame.tells_start_types:
            return None
        chosen = frame.is_("start_type", start_type)
        return Sample(frame.answered(np.where(chosen, frame.ttft_s, np.nan)))

    return observe


def _cold(*, imports: bool) -> Callable[[Frame], Sample | None]:
    """Observe cold requests that waited for imports, or those that did not. Only requests with
    known stages."""

    def observe(frame: Frame) -> Sample | None:
        if not frame.tells_start_types:
            return None
        imported = frame.staged("libraries")
        waited = imported > 0 if imports else imported == 0
        chosen = frame.is_("start_type", "cold") & waited
        return Sample(frame.answered(np.where(chosen, frame.ttft_s, np.nan)))

    return observe


def _ttft_when(start_type: str, meaning: str) -> Metric:
    return Metric(
        f"ttft_by_start_type.{start_type}",
        f"TTFT, {start_type}",
        f"TTFT_{start_type}",
        "s",
        f"TTFT of the requests that were {start_type}: {meaning}.",
        f"TTFT of requests with start_type = {start_type}",
        "lower",
        _of_start_type(start_type),
    )


LATENCY = (
    Metric(
        "ttft_s",
        "TTFT",
        "TTFT",
        "s",
        "Time to first token: from the actual send to the first chunk that carries text.",
        "t_first − t_sent",
        "lower",
        _answered(lambda frame: frame.ttft_s),
    ),
    Metric(
        "ttft_from_schedule_s",
        "TTFT from schedule",
        "TTFT*",
        "s",
        "Time to first token from the intended send; includes the client's own lateness.",
        "t_first − t_due",
        "lower",
        _answered(lambda frame: frame.since("scheduled_ns", "first_token_ns")),
    ),
    _ttft_when("cold", "something had to be started or loaded for them"),
    _ttft_when("warm", "an instance existed, but lacked an artifact"),
    _ttft_when("hot", "everything was in place"),
    Metric(
        "ttft_cold_s.with_imports",
        "TTFT, cold start with imports",
        "TTFT_cold+",
        "s",
        "TTFT of cold requests that waited for libraries to be imported.",
        "TTFT of requests with start_type = cold and a stage libraries",
        "lower",
        _cold(imports=True),
    ),
    Metric(
        "ttft_cold_s.without_imports",
        "TTFT, cold start without imports",
        "TTFT_cold−",
        "s",
        "TTFT of cold requests that found the libraries in place.",
        "TTFT of requests with start_type = cold and no stage libraries",
        "lower",
        _cold(imports=False),
    ),
    Metric(
        "tpot_s",
        "TPOT",
        "TPOT",
        "s",
        "Time per output token after the first, by the server's token count; only responses of two"
        " tokens or more.",
        "(E2E − TTFT) / (n_out − 1)",
        "lower",
        _answered(_tpot),
    ),
    Metric(
        "itl_s",
        "ITL",
        "ITL",
        "s",
        "Inter-token latency: the gap between two successive tokens of a response; a sample is"
        " a gap, not a request.",
        "t_(k+1) − t_k",
        "lower",
        _itl,
    ),
    Metric(
        "e2e_s",
        "E2E",
        "E2E",
        "s",
        "End-to-end latency: from the actual send to the last token.",
        "t_last − t_sent",
        "lower",
        _answered(lambda frame: frame.e2e_s),
    ),
    Metric(
        "e2e_from_schedule_s",
        "E2E from schedule",
        "E2E*",
        "s",
        "End-to-end latency from the intended send.",
        "t_last − t_due",
        "lower",
        _answered(lambda frame: frame.since("scheduled_ns", "last_token_ns")),
    ),
    Metric(
        "normalised_latency_s",
        "normalised latency",
        "L_norm",
        "s/token",
        "End-to-end latency per output token.",
        "E2E / n_out",
        "lower",
        _answered(lambda frame: _per(frame.e2e_s, frame.output_tokens)),
    ),
    Metric(
        "normalised_latency_from_schedule_s",
        "normalised latency from schedule",
        "L_norm*",
        "s/token",
        "End-to-end latency from the intended send, per output token.",
        "E2E* / n_out",
        "lower",
        _answered(
            lambda frame: _per(frame.since("scheduled_ns", "last_token_ns"), frame.output_tokens)
        ),
    ),
    Metric(
        "queueing_s",
        "queueing",
        "Q",
        "s",
        "Time in which a request waited while nothing was started or loaded for it: the sum"
        " of its stages `queue`. Only requests whose stages the system reported.",
        "Σ (end − start) over spans with stage = queue",
        "lower",
        _answered(lambda frame: frame.staged("queue")),
    ),
    Metric(
        "lateness_s",
        "lateness",
        "D",
        "s",
        "Delay of the client's send: a property of the measurement, not of the system.",
        "t_sent − t_due",
        "lower",
        _answered(lambda frame: frame.since("scheduled_ns", "sent_ns")),
    ),
)
