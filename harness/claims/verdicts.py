"""Every published result with our result and the verdict, from the reference records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import HarnessError
from ..places import reference_runs
from ..records import open_run
from .breakdown import stages_paid
from .claim import Claim, Ours, published
from .evaluation import Evaluation
from .others import Throughput, decision_time
from .rules import judge


def claims(reference: Path | None = None) -> list[Claim]:
    """Return one claim per published result, in the paper's order. ``reference``: the folder of the
    reference runs; None: those of the suite. Raises ``HarnessError`` if a
    reference record is missing."""
    measures = _measures(reference or reference_runs())
    found = []
    for each in published():
        if each.id not in measures:
            raise HarnessError(f"claim {each.id} has no measurement")
        ours = measures[each.id]()
        found.append(Claim(each, ours, judge(each, ours), ours.why))
    return found


def _measures(reference: Path) -> dict[str, Callable[[], Ours]]:
    evaluation = Evaluation(open_run(reference / "evaluation"))
    throughput = Throughput(reference / "throughput")
    return {
        "ttft-headline": evaluation.ttft_gain,
        "cost-headline": evaluation.cost_gain,
        "ttft-serverlessllm": lambda: evaluation.ttft_over("serverless-llm"),
        "ttft-instainfer": lambda: evaluation.ttft_over("instainfer"),
        "ce-instainfer": lambda: evaluation.effectiveness_over("instainfer"),
        "ce-serverlessllm": lambda: evaluation.effectiveness_over("serverless-llm"),
        "throughput-tokens": throughput.tokens,
        "throughput-requests": throughput.requests,
        "batch-growth": throughput.batch,
        "slo-worst": evaluation.violations,
        "tpot-penalty": evaluation.tpot_penalty,
        "ablation-full": evaluation.ablation_full,
        "ablation-no-sharing": evaluation.ablation_no_sharing,
        "scheduler-overhead": lambda: decision_time(reference / "decisions.json"),
        "breakdown": lambda: stages_paid(open_run(reference / "time-breakdown-l40s")),
    }
