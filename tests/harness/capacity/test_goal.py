"""Goals: what is written, what is refused, and how a value and its interval are judged."""

from __future__ import annotations

import pytest

from harness.capacity import parse_goal
from harness.errors import HarnessError
from harness.stats import Estimate


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ttft_s.p95<=0.5", "ttft_s.p95 <= 0.5"),
        (" tpot_s.mean <= 5e-2 ", "tpot_s.mean <= 0.05"),
        ("slo_attainment >= 0.99", "slo_attainment >= 0.99"),
        ("ttft_cold_s.with_imports.p50 <= 9", "ttft_cold_s.with_imports.p50 <= 9"),
        ("usd_per_1k_requests <= 1", "usd_per_1k_requests <= 1"),
    ],
)
def test_a_goal_is_a_metric_its_part_and_a_limit(text: str, said: str) -> None:
    assert str(parse_goal(text)) == said
    assert parse_goal(said) == parse_goal(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ttft_s.p95", "write METRIC.PART <= NUMBER"),
        ("ttft_s.p95 < 0.5", "write METRIC.PART <= NUMBER"),
        ("ttft.p95 <= 0.5", "'ttft.p95' is unknown; known: ttft_s.PART, .*slo_attainment"),
        ("ttft_s <= 0.5", "ttft_s has the parts mean, p50, p90, p95, p99"),
        ("ttft_s.p96 <= 0.5", "ttft_s has the parts mean, p50, p90, p95, p99"),
        ("ttft_s.p95 >= 0.5", "lower is better for ttft_s, write <="),
        ("slo_attainment <= 0.5", "higher is better for slo_attainment, write >="),
        ("ttft_s.p95 <= 1s", "'1s' is not a number"),
        ("ttft_s.p95 <= nan", "'nan' is not a number"),
        ("slo_attainment >= 95", "slo_attainment is a share, from 0 to 1, not 95"),
        ("cold_share <= -0.1", "cold_share is a share, from 0 to 1, not -0.1"),
        ("ttft_s.p95 <= -5", "ttft_s is 0 or more, not -5"),
        ("memory_peak_bytes <= 1", "is unknown"),
    ],
)
def test_what_is_no_goal_is_refused_in_a_line(text: str, reason: str) -> None:
    with pytest.raises(HarnessError, match=reason) as refused:
        parse_goal(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("goal", "value", "ci95", "met", "surely"),
    [
        ("ttft_s.p95 <= 0.5", 0.5, (0.4, 0.5), True, True),
        ("ttft_s.p95 <= 0.5", 0.45, (0.4, 0.6), True, None),
        ("ttft_s.p95 <= 0.5", 0.7, (0.6, 0.8), False, False),
        ("ttft_s.p95 <= 0.5", 0.6, None, False, None),
        ("slo_attainment >= 0.9", 0.95, (0.91, 0.99), True, True),
        ("slo_attainment >= 0.9", 0.8, (0.7, 0.85), False, False),
        ("slo_attainment >= 0.9", None, None, None, None),
    ],
)
def test_a_goal_judges_the_value_and_its_interval(
    goal: str,
    value: float | None,
    ci95: tuple[float, float] | None,
    met: bool | None,
    surely: bool | None,
) -> None:
    verdict = parse_goal(goal).judge(Estimate(value, 100, ci95))
    assert (verdict.met, verdict.surely) == (met, surely)
