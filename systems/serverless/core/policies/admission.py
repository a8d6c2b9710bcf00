"""Whether a request is accepted."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..artifacts import PRECEDENCE
from ..policy import Policy
from ..state import State


class Admission(Policy, ABC):
    @abstractmethod
    def retry_after_ns(self, function: str, state: State, now_ns: int) -> int | None:
        """Return None to accept the request, else after how long a retry could succeed."""


class AdmitAll(Admission):
    """Accepts every request, as in the paper."""

    name = "all"

    def retry_after_ns(self, function: str, state: State, now_ns: int) -> int | None:  # noqa: ARG002
        return None


class ShedHopeless(Admission):
    """Rejects a request if its function's queue cannot meet any deadline: if loading what is
    missing and prefilling the requests before it, slowed down by the device's M instances at work,
    take longer than its SLO allows."""

    name = "shed-hopeless"

    def retry_after_ns(self, function: str, state: State, now_ns: int) -> int | None:  # noqa: ARG002
        spec, group = state.cluster.functions[function], state.cluster.group_of(function)
        learnt, limit = state.estimates(group.id), group.batch_limit
        serving = state.serving(group.id)
        ready_ns = 0.0 if serving else sum(learnt.delay_ns[a] for a in PRECEDENCE)
        servers = max(len(serving), 1)
        before = len(state.queue(group.id)) // (limit * servers)
        slowdown = max(
            (state.devices[i.device].contention.with_work_of(i.id) for i in serving), default=1.0
        )
        full_ns, own_ns = learnt.law.ttft_ns(limit), learnt.law.ttft_ns(1)
        waits_ns = before * full_ns * slowdown
        late_ns = ready_ns + waits_ns + own_ns * slowdown - spec.slo_ttft_ns
        # The first request of an empty queue is accepted: to reject it would help no other.
        if not before or late_ns <= 0:
            return None
        return round(late_ns)
