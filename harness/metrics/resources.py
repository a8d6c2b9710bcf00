"""Metrics of resources: memory and money."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..records.schema import is_host
from .frame import Frame
from .metric import Metric
from .observation import Observation, Scaled, Total
from .service import answered_tokens, flagged_rate, of_objectives


def _all_devices(by_device: Mapping[str, Mapping[str, float]], per: float = 1.0) -> Total | None:
    """Sum over all devices, without host memory; None if the system has no ledger of any."""
    held = [owners["all"] for device, owners in by_device.items() if not is_host(device)]
    return Total((sum(held) / per,)) if held else None


def _pss(frame: Frame) -> Total | None:
    pss = frame.ledger.pss
    return None if pss is None else Total((pss["peak"],))


def _of_cost(
    of: Callable[[Frame, float], Observation | None],
) -> Callable[[Frame], Observation | None]:
    """Apply ``of`` to a frame and its bill in dollars; None if there is no bill."""
    return lambda frame: None if frame.cost_usd is None else of(frame, frame.cost_usd)


def _per_thousand(frame: Frame, usd: float) -> Total | None:
    return Total((usd / frame.n * 1000,)) if frame.n else None


RESOURCES = (
    Metric(
        "memory_gb_s",
        "reserved device memory",
        "M",
        "GB·s",
        "Device memory held over the run by the system's own ledger, over all devices and owners"
        " (summary.json has it by device and owner).",
        "∫₀ᵀ m(t) dt / 10⁹",
        "lower",
        lambda frame: _all_devices(frame.ledger.gb_s),
    ),
    Metric(
        "memory_mean_gb",
        "reserved device memory mean",
        "m̄",
        "GB",
        "Device memory held on average, by the system's own ledger.",
        "M / T",
        "lower",
        lambda frame: _all_devices(frame.ledger.gb_s, frame.duration_s),
    ),
    Metric(
        "memory_peak_bytes",
        "reserved device memory peak",
        "m_max",
        "B",
        "Maximum device memory held at once, by the system's own ledger; peaks of several"
        " devices are added.",
        "max_t m(t)",
        "lower",
        lambda frame: _all_devices(frame.ledger.peak_bytes),
    ),
    Metric(
        "measured_pss_bytes.peak",
        "measured PSS peak",
        "PSS_max",
        "B",
        "Maximum memory of the system's process tree as the kernel counts it (proportional set"
        " size), sampled from outside.",
        "max_t Σ_process PSS(t)",
        "lower",
        _pss,
    ),
    Metric(
        "cost_usd",
        "cost",
        "C",
        "$",
        "The bill of the run with the price sheet named in the manifest.",
        "Σ quantity · unit price",
        "lower",
        _of_cost(lambda _, usd: Total((usd,))),
    ),
    Metric(
        "usd_per_1k_requests",
        "cost of 1,000 requests",
        "C_1k",
        "$",
        "The bill per 1,000 requests of the schedule.",
        "1000 · C / n",
        "lower",
        _of_cost(_per_thousand),
    ),
    Metric(
        "cost_effectiveness",
        "cost-effectiveness",
        "CE",
        "1/(s·$)",
        "The paper's measure: the inverse of (mean end-to-end latency × cost).",
        "1 / (mean E2E · C)",
        "higher",
        _of_cost(lambda frame, usd: Scaled(frame.answered(frame.e2e_s), over=usd, power=-1)),
    ),
    Metric(
        "tokens_per_usd",
        "tokens per dollar",
        "N_$",
        "tokens/$",
        "Output tokens of answered requests per dollar of the bill.",
        "Σ_ok n_out / C",
        "higher",
        _of_cost(lambda frame, usd: answered_tokens(frame, frame.output_tokens, usd)),
    ),
    Metric(
        "goodput_per_usd",
        "goodput per dollar",
        "G_$",
        "1/$",
        "Requests that met all their objectives per dollar of the bill.",
        "A · n / C",
        "higher",
        of_objectives(_of_cost(lambda frame, usd: flagged_rate(frame, frame.slo_met, usd))),
    ),
)
