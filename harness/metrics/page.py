"""METRICS.md, from the metrics themselves."""

from __future__ import annotations

from collections.abc import Sequence

from .latency import LATENCY
from .metric import Metric
from .resources import RESOURCES
from .service import SERVICE

_INTRODUCTION = """\
# Metrics

Every number that `slbench run`, `slbench compare` and `summary.json` give, as the code declares it.
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
| SLO | the function's objective for TTFT* (`slo_ttft_ns`) |

Latencies are of answered requests; shares and rates have every request of the schedule in the
denominator, failures included. A latency marked * counts from the intended send.

## Statistics

A latency is given as mean, p50, p90, p95 and p99. Every number of a cell that its requests vary has
a 95 % interval that allows for requests of a burst depending on each other:

* **Blocks** are of neighbouring requests, twice as long as Politis and White (2004; corrected by
  Patton, Politis and White 2009) find best, at most 500 and at least 10 of them.
* **Mean, rate:** studentised block bootstrap (Götze and Künsch 1996), 999 seeded resamples of block
  sums; the variance that is lost at the edges of blocks is put back (Vats and Flegal 2022).
* **Share:** Jeffreys's interval at the effective n that the blocks show (Korn and Graubard 1998).
* **Percentile:** the interval of the share of values below it, read off the sorted values (Woodruff
  1952).
* **Ratio to a baseline on the same schedule:** paired by request; means by bootstrap of both
  systems' blocks together, percentiles by the delta method with the blocks' correlation.
* **Effective n:** n over the integrated autocorrelation time.
* **Measured coverage** of the 95 % intervals of mean, p50 and p95, over 2,000 seeded series each
  of 3,000 independent, autoregressive (0.5 and 0.8), skewed and bursty values: 94.5–96.4 %. It is
  lower where an interval is only just given: 92.6 % for p95 of 2,000 requests in bursts of six, and
  92.9 % for the mean of 500 of them.
* **Too few samples are said, not printed:** a percentile p is given where n·(1 − p) ≥ 1, and its
  interval where at least ten effective samples lie on either side of it; any other interval from
  ten values that vary. Totals of a cell (memory, cost) have an interval over three or more repeats
  only (Student's t; their n is the number of cells), and a rate's interval takes the cell's
  duration and cost as measured.
"""

_GROUPS = (("Latency", LATENCY), ("Service", SERVICE), ("Resources", RESOURCES))


def page() -> str:
    """The whole page, as Markdown."""
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
