"""Whether a request is taken in at all."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..artifacts import PRECEDENCE
from ..policy import Policy
from ..state import State


class Admission(Policy, ABC):
    @abstractmethod
    def retry_after_ns(self, function: str, state: State, now_ns: int) -> int | None:
        """None takes the request in; otherwise when another try could meet its deadline."""


class AdmitAll(Admission):
    """As in the paper: whatever comes waits its turn."""

    name = "all"

    def retry_after_ns(self, function: str, state: State, now_ns: int) -> int | None:  # noqa: ARG002
        return None


class ShedHopeless(Admission):
    """Turns a request away where its function's queue cannot meet any deadline: when what waits
    before it takes longer than its SLO allows, M batches at a time, what must be loaded first
    included."""

    name = "shed-hopeless"

    def retry_after_ns(self, function: str, state: State, now_ns: int) -> int | None:  # noqa: ARG002
        learnt = state.estimates(function)
        spec = state.cluster.functions[function]
        limit = state.cluster.settings.max_batch_size
        serving = state.serving(function)
        ready_ns = 0.0 if serving else sum(learnt.delay_ns[a] for a in PRECEDENCE)
        servers = max(len(serving), 1)
        before = len(state.queue(function)) // (limit * servers)
        devices = [state.devices[instance.device] for instance in serving]
        slowdown = max((d.slowdown(d.prefilling + 1) for d in devices), default=1.0)
        full_ns, own_ns = learnt.law.ttft_ns(limit), learnt.law.ttft_ns(1)
        waits_ns = before * full_ns * slowdown
        late_ns = ready_ns + waits_ns + own_ns * slowdown - spec.slo_ttft_ns
        # An empty queue is never hopeless: turning its first request away would help nobody.
        if not before or late_ns <= 0:
            return None
        return round(late_ns)
