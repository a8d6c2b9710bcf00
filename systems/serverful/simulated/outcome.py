"""The outcome of a server simulation, in the form of a live run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from systems.interface import (
    Activity,
    Decision,
    MemoryStep,
    RequestTrace,
    StartType,
    SystemTrace,
)

from .front import Call
from .plan import Staffed

_FOREVER_NS = 2**60
"""Servers are active until the end of the run, which is not known yet."""


@dataclass(frozen=True)
class Outcome:
    """``back_ns``: from the creation of a token to the client; ``threads``: per replica; ``took``:
    decision times on this machine."""

    calls: Mapping[int, Call]
    servers: Sequence[Staffed]
    memory: Sequence[MemoryStep]
    decisions: Sequence[Decision]
    back_ns: int
    threads: int
    took: Mapping[str, float]

    def seen(self, request: int) -> dict[str, Any]:
        """Return the client's view of a request, times in ns: columns of the client's table."""
        call = self.calls[request]
        work, ok = call.work, call.status == "ok"
        return {
            "first_token_ns": work.first_ns + self.back_ns if ok else None,
            "last_token_ns": work.last_ns + self.back_ns if ok else None,
            "output_tokens": work.output_tokens if ok else None,
            "status": call.status,
        }

    def system_trace(self) -> SystemTrace:
        of = {name: each.server.backbone for each in self.servers for name in each.server.adapters}
        calls = self.calls.values()
        return SystemTrace(
            requests=tuple(_request(call, of[call.function]) for call in calls),
            memory=tuple(self.memory),
            activity=tuple(self._held()),
            decisions=tuple(self.decisions),
            measured=self._measured(),
        )

    def deciding(self) -> Mapping[str, float]:
        """Return the decision times on this machine. Not part of the reproducible system trace."""
        return self.took

    def _held(self) -> Iterator[Activity]:
        for each in self.servers:
            for number, replica in enumerate(each.replicas):
                name, device = _name(each.server.backbone, number), replica.device.name
                yield Activity(0, _FOREVER_NS, device, name, None, self.threads)

    def _measured(self) -> dict[str, float]:
        """Return the start-up time of the slowest server; all start at once."""
        found: dict[str, float] = {}
        for server in (each.server for each in self.servers):
            startup_s = server.latency.startup_s(len(server.held))
            for name, value in {"startup_s": startup_s, **server.timings}.items():
                found[name] = max(value, found.get(name, 0.0))
        return found


def _name(backbone: str, replica: int) -> str:
    return f"{backbone}/{replica}"


def _request(call: Call, backbone: str) -> RequestTrace:
    ok = call.status == "ok"
    return RequestTrace(
        request_id=str(call.work.id),
        function_id=call.function,
        received_ns=call.received_ns,
        responded_ns=call.work.last_ns if ok else None,
        start_type=StartType.HOT if ok else None,
        instance_id=None if call.replica is None else _name(backbone, call.replica),
        batch_size=call.batch_size,
        spans=call.spans() if ok else (),
    )
