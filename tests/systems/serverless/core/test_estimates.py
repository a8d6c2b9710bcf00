"""Estimates of request rates, batch latencies and loading delays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from systems.serverless.core.artifacts import Artifact
from systems.serverless.core.cluster_spec import BatchLatency, GroupSpec
from systems.serverless.core.estimates import (
    BackboneDelays,
    Estimates,
    ExponentiallyWeighted,
    LearntLatency,
    PrefillTimes,
    SlidingWindow,
)
from systems.serverless.core.prefill import Prefill

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


def test_the_fixed_part_is_what_two_batches_take_longer_than_one_of_their_size() -> None:
    assert LearntLatency(BatchLatency(100, 10)).fixed_ns == pytest.approx(90)
    assert LearntLatency(BatchLatency(100, 400)).fixed_ns == 0


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


def test_delays_of_a_backbone_that_no_group_waited_for_are_those_of_all_until_they_know() -> None:
    spec = GroupSpec("f", "b", ("f",), 1, 1, 1)
    delays = BackboneDelays(loaded_ns=500, copied_ns=30)
    learnt = Estimates(spec, SlidingWindow(S), delays=delays)
    assert (learnt.delay_ns[Artifact.BACKBONE], learnt.peer_ns) == (500, 30)
    delays.loaded_ns, delays.copied_ns = 900, 40
    learnt.told()
    assert (learnt.delay_ns[Artifact.BACKBONE], learnt.peer_ns) == (500, 30)


def test_what_no_group_did_is_not_free_once_another_did_it() -> None:
    """Kernels take at most what a fork takes, and a copy what a reading takes."""
    delays = BackboneDelays()
    learnt = Estimates(GroupSpec("f", "b", ("f",), 1, 1, 1), SlidingWindow(S), delays=delays)
    assert (learnt.fork_ns, learnt.copy_ns) == (0, 0)
    delays.observe(loaded_ns=500, copied_ns=0, fork_ns=700, takeover_ns=20)
    learnt.told()
    assert (learnt.fork_ns, learnt.kernels_ns) == (700, 700)
    assert (learnt.copy_ns, learnt.peer_ns) == (500, 0)
    learnt.loaded(Artifact.KERNELS, 300)
    learnt.copied(30)
    assert (learnt.fork_ns, learnt.kernels_ns) == (700, 300)
    assert learnt.copy_ns == 30
    delays.observe(loaded_ns=0, copied_ns=0, fork_ns=800, takeover_ns=0)
    assert (learnt.fork_ns, learnt.takeover_ns) == (pytest.approx(710), 20)


def test_before_a_request_has_ended_a_service_is_taken_to_last_as_long_as_a_fork() -> None:
    """Without a profile, decoding would be free, and so would be the contention of many."""
    told = GroupSpec("f", "b", ("f",), 1, 1, 1, law=BatchLatency(100, 10), step_ns=20)
    untold, delays = replace(told, step_ns=0), BackboneDelays(fork_ns=700)
    of = [Estimates(each, SlidingWindow(S), delays=delays) for each in (told, untold)]
    for learnt in of:
        learnt.arrived(5, 0)
    assert [learnt.service_ns for learnt in of] == [200, 700]
    for learnt in of:
        learnt.service.observe(300)
    assert [learnt.service_ns for learnt in of] == [300, 300]


def test_a_fork_takes_no_less_than_the_kernels_that_a_profile_knows() -> None:
    """They include what its first batch prepares, which no start shows."""
    spec = GroupSpec("f", "b", ("f",), 1, 1, 1, delay_ns={Artifact.KERNELS: 900})
    learnt = Estimates(spec, SlidingWindow(S), delays=BackboneDelays(fork_ns=60))
    assert learnt.fork_ns == 900


def prefill(size: int = 1, *, joins: bool = False, expected_ns: float = 100) -> Prefill:
    return Prefill(1, size, joins, False, 0, 0.0, expected_ns)


def test_steps_of_running_requests_are_no_part_of_t_but_of_the_wait_of_what_joins_them() -> None:
    times = PrefillTimes(BatchLatency(100, 10))
    for _ in range(60):
        times.observe(prefill(joins=True), took_ns=250, alone_ns=250, computed_ns=100)
    assert times.law.ttft_ns(1) == pytest.approx(100, rel=0.01)
    assert times.expected_ns(1, 1.0, joins=False) == pytest.approx(100, rel=0.01)
    assert times.expected_ns(1, 1.0, joins=True) == pytest.approx(250, rel=0.01)
    assert times.expected_ns(1, 3.0, joins=True) == pytest.approx(750, rel=0.01)


def test_an_instance_that_says_it_computed_for_longer_than_it_took_is_not_believed() -> None:
    times = PrefillTimes(BatchLatency(100, 10))
    for _ in range(60):
        times.observe(prefill(), took_ns=200, alone_ns=100, computed_ns=10**12)
    assert times.law.ttft_ns(1) == pytest.approx(100, rel=0.01)


def test_a_first_batch_teaches_nothing_about_the_next_ones() -> None:
    times = PrefillTimes(BatchLatency(100, 10))
    times.observe(prefill()._replace(first=True), took_ns=900, alone_ns=900, computed_ns=900)
    assert times.law.ttft_ns(1) == pytest.approx(100)
    assert times.error_ns(100) == 0


def test_the_error_is_four_mean_deviations() -> None:
    times = PrefillTimes(BatchLatency(100, 10))
    for took_ns in (80, 120) * 50:
        times.observe(prefill(), took_ns=took_ns, alone_ns=took_ns, computed_ns=took_ns)
    assert times.error_ns(100) == pytest.approx(4 * 0.2 * 100, rel=0.01)
    assert times.error_ns(200) == pytest.approx(4 * 0.2 * 200, rel=0.01)
