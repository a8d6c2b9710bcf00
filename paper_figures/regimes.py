"""Each mechanism switched off, against the complete system, along load or memory, and where each
begins to matter."""

from __future__ import annotations

from . import ablation
from .sweep_panels import Panel

MATTERS = 1.1
"""A mechanism matters where the system without it takes at least so many times as much."""
_EVALUATION = "regimes-devices"
_OFF = "serverless-lora-no-sharing"


def _panel(metric: str, of: str, *, log_y: bool = False) -> Panel:
    """Draw ``metric`` as ratio to the complete system; ``of``: its name among the published."""
    ratio = ablation.PUBLISHED[_OFF][of] / ablation.PUBLISHED["serverless-lora"][of]
    title = ablation.METRICS[of].partition(",")[0]
    return Panel(
        f"{metric}.ratio",
        f"{title}, ×\u00a0complete",
        log_y=log_y,
        matters_from=MATTERS,
        published=((_OFF, ratio),),
        published_at=16,
        published_in=_EVALUATION,
    )


PANELS = (
    _panel("ttft_from_schedule_s.mean", "ttft_from_schedule_s", log_y=True),
    _panel("e2e_s.mean", "e2e_s", log_y=True),
    _panel("cost_usd", "cost_usd"),
)
