"""Estimates of request rates, batch latencies and loading delays."""

from __future__ import annotations

import pytest

from systems.serverless.core.artifacts import Artifact
from systems.serverless.core.cluster_spec import BatchLatency, GroupSpec
from systems.serverless.core.estimates import (
    Estimates,
    ExponentiallyWeighted,
    LearntLatency,
    SlidingWindow,
)

S = 1_000_000_000


def test_a_window_forgets_what_is_older_and_nothing_else() -> None:
    rate = SlidingWindow(10 * S)
    for at in (0, 4, 8):
        rate.observe(at * S)
    assert rate.per_second(9 * S) == pytest.approx(0.3)
    assert rate.per_second(13 * S) == pytest.approx(0.2)
    assert rate.per_second(18 * S) == 0


def test_the_exponential_rate_settles_at_the_rate_there_is() -> None:
    rate = ExponentiallyWeighted(20 * S)
    for at in range(200):
        rate.observe(at * S // 2)
    assert rate.per_second(100 * S) == pytest.approx(2.0, rel=0.05)
    assert rate.per_second(120 * S) == pytest.approx(2.0 / 2.718, rel=0.05)


def test_the_law_starts_from_the_profile_and_is_corrected() -> None:
    law = LearntLatency(BatchLatency(100, 10))
    assert law.ttft_ns(1) == pytest.approx(100)
    assert law.ttft_ns(5) == pytest.approx(140)
    for batch in (1, 4, 8) * 20:
        law.observe(batch, 200 + 30 * (batch - 1))
    assert law.ttft_ns(1) == pytest.approx(200, rel=0.02)
    assert law.ttft_ns(8) == pytest.approx(410, rel=0.02)


def test_a_law_that_knows_nothing_says_so_and_learns_from_one_batch() -> None:
    law = LearntLatency(BatchLatency())
    assert law.ttft_ns(8) == 0
    law.observe(2, 50)
    assert law.ttft_ns(1) == law.ttft_ns(8) == 50


def test_larger_batches_are_never_said_to_be_faster() -> None:
    law = LearntLatency(BatchLatency(100, 10))
    for _ in range(50):
        law.observe(1, 500)
        law.observe(8, 100)
    assert law.ttft_ns(8) >= law.ttft_ns(1)


def test_delays_follow_what_is_seen() -> None:
    spec = GroupSpec("f", "b", ("f",), 1, 1, 1, delay_ns={Artifact.ADAPTER: 100})
    learnt = Estimates(spec, SlidingWindow(S))
    learnt.loaded(Artifact.ADAPTER, 200)
    learnt.loaded(Artifact.KERNELS, 70)
    assert learnt.delay_ns[Artifact.ADAPTER] == pytest.approx(110)
    assert learnt.delay_ns[Artifact.KERNELS] == 70
