"""Generates METRICS.md from the declared metrics."""

from __future__ import annotations

from collections.abc import Sequence

from .latency import LATENCY
from .metric import Metric
from .resources import RESOURCES
from .service import SERVICE

_INTRODUCTION = """\
# Metrics

Every number in `slbench run`, `slbench compare` and `summary.json`, as the code declares it.
This page is generated: `python -m harness.metrics > METRICS.md`.

## Symbols

| symbol | meaning |
|---|---|
| t_due | the intended send: the schedule's absolute time (`scheduled_ns`) |
| t_sent | the actual send (`sent_ns`) |
| t_first | arrival of the first chunk that carries text (`first_token_ns`) |
| t_last | arrival of the last token (`last_token_ns`) |
| n_in, n_out | prompt and output tokens of a request, by the server's count |
| n, n_ok | requests of the schedule, sent or not; those answered in full (status `ok`) |
| T | duration: from the run's start to the end of its trace or of its last answer |
| m(t) | bytes held on the devices at time t, by the system's own ledger |
| SLO | objectives for TTFT*, TPOT and E2E* (`slo_ttft_ns`, `slo_tpot_ns`, `slo_e2e_ns`) |

Latencies cover answered requests. Shares and rates have every request of the schedule in the
denominator, failures included. A latency marked * counts from the intended send.

## Statistics

A latency is given as mean, p50, p90, p95 and p99. Every number that depends on single requests has
a 95 % interval that accounts for the dependence between requests of a burst:

* **Blocks** consist of successive requests and are twice as long as the optimum of Politis and
  White (2004; corrected by Patton, Politis and White 2009). There are 10 to 500 blocks.
* **Mean, rate:** studentised block bootstrap (Götze and Künsch 1996) of the logarithm of the mean,
  so that the interval of a non-negative value lies above zero; 999 seeded resamples of block
  sums; a correction restores the variance lost at the edges of blocks (Vats and Flegal 2022).
* **Share:** Jeffreys's interval at the blocks' effective n (Korn and Graubard 1998).
* **Percentile:** the interval of the share of values below it, mapped to the sorted values
  (Woodruff 1952).
* **Ratio to a baseline on the same schedule:** paired by request; means by bootstrap of both
  systems' blocks together, percentiles by the delta method with the blocks' correlation.
* **Effective n:** n over the integrated autocorrelation time.
* **Measured coverage** of the 95 % intervals of mean, p50 and p95, over 2,000 seeded series each
  of 3,000 independent, autoregressive (0.5 and 0.8), skewed and bursty values: 94.5–96.4 %. It is
  lower near the minimum sample size: 92.6 % for p95 of 2,000 requests in bursts of six.
* **Few requests, heavy tails:** the table below shows the coverage of the mean over 1,000 seeded
  series each, of one cell of 30 to 3,000 requests and of three and five repeats of 124. An interval
  is too narrow if the mean depends on rare events, such as a few bursts of cold starts: a sample
  without them contains no information about them. For totals of three to five repeats (log-normal,
  σ = 0.6) 93–94 % of the intervals contain the mean.
* **Too few samples:** a percentile p is given if n·(1 − p) ≥ 1, and its interval if at least ten
  effective samples lie on either side of it; any other interval from ten values that are not all
  equal. Totals of a cell (memory, cost) have an interval over three or more repeats only
  (Student's t for the logarithm, by the delta method; their n is the number of cells). A rate's
  interval treats the cell's duration and cost as exact.
* **Cells are pooled** if they differ only in seed and repeat. Cells that are equal to the last
  digit (a repeated simulation, a recorded trace simulated under several seeds) are one sample; its
  interval does not cover variation between repeats.

| coverage of the mean, % | 30 | 124 | 3 × 124 | 5 × 124 | 400 | 3,000 |
|---|--:|--:|--:|--:|--:|--:|
| log-normal, σ = 1 | 91.5 | 94.5 | 94.7 | 95.3 | 94.2 | 95.8 |
| log-normal, σ = 1.5 | 87.6 | 91.5 | 92.5 | 95.2 | 93.7 | 93.8 |
| Pareto, α = 2.5 | 88.5 | 92.7 | 94.8 | 94.2 | 94.8 | 95.2 |
| 4 % of 6 s, the rest 0.2 s | 67.1 | 95.6 | 95.6 | 94.8 | 95.0 | 96.3 |
| autoregressive (0.7), log-normal | 77.7 | 91.0 | 94.9 | 94.2 | 94.1 | 95.2 |
| bursts of six, log-normal | 63.6 | 86.4 | 91.3 | 91.3 | 91.3 | 95.5 |
| bursts of six, 4 % of them 6 s | 15.5 | 51.2 | 79.0 | 87.5 | 80.2 | 93.3 |
"""

_GROUPS = (("Latency", LATENCY), ("Service", SERVICE), ("Resources", RESOURCES))


def page() -> str:
    """Render the whole page as Markdown."""
    groups = "".join(_group(title, metrics) for title, metrics in _GROUPS)
    return _INTRODUCTION + groups


def _group(title: str, metrics: Sequence[Metric]) -> str:
    head = "| key | symbol | unit | formula | better | definition |\n|---|---|---|---|---|---|\n"
    return f"\n## {title}\n\n{head}" + "".join(map(_row, metrics))


def _row(metric: Metric) -> str:
    cells = (
        f"`{metric.name}`",
        metric.symbol,
        metric.unit,
        metric.formula,
        metric.better,
        metric.definition,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
