"""The share account of what keeps no ledger: the memory that was measured, by the second. It is
active, with one vCPU, while a request is in flight: on which device is not known."""

from __future__ import annotations

from ...errors import HarnessError
from ...records.schema import is_host
from ..sheet import price_sheet
from .usage import Usage


def measured(usage: Usage, sheet: str) -> float:
    """Raise ``HarnessError`` if no device memory was measured: it is unknown then, not zero."""
    host = {place for place in usage.measured_gb if is_host(place)}
    if not usage.measured_gb.keys() - host:
        raise HarnessError("no device memory was measured, so what was held has no price")
    prices = price_sheet(sheet)
    active_s, idle_s = usage.in_flight_s, usage.duration_s - usage.in_flight_s
    host_gb = sum(usage.measured_gb[place] for place in host)
    device_gb = sum(usage.measured_gb.values()) - host_gb
    return (
        device_gb * active_s * prices.usd("gpu_memory_active")
        + device_gb * idle_s * prices.usd("gpu_memory_idle")
        + host_gb * usage.duration_s * prices.usd("host_memory")
        + active_s * prices.usd("vcpu_active")
        + usage.calls * prices.usd("calls")
    )
