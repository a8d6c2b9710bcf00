"""Runs a workload on an in-tree serverful system in virtual time; reproducible for a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from systems.interface import Deployment
from systems.serverful.inhouse.options import Options
from systems.serverful.inhouse.placement import Placement
from systems.serverful.inhouse.schemes import SCHEMES, Scheme
from systems.simulation.clock import Alone, Clock, Shared
from systems.simulation.decision_times import DecisionTimes
from systems.simulation.work import Work

from .front import Call, Front
from .holdings import Holdings
from .outcome import Outcome
from .plan import Staffed, servers, staff
from .replica import Replica

if TYPE_CHECKING:
    from systems.simulation.arrival import Arrival, Load
    from systems.simulation.profile import Profile


def check(
    name: str, deployment: Deployment, profile: Profile, *, dtype: str, adapter_rank: int
) -> None:
    """Raise what :func:`simulate` raises."""
    planned = servers(SCHEMES[name], deployment, profile, dtype, adapter_rank)
    staff(planned, deployment, Options.of(deployment, name), profile)


def simulate(
    name: str,
    deployment: Deployment,
    profile: Profile,
    load: Load,
    *,
    dtype: str,
    adapter_rank: int = 16,
) -> Outcome:
    """Send ``load`` to a running system of the scheme ``name`` that stores
    its weights in ``dtype``. Raise ``DeploymentError`` if it does not fit its devices and
    ``ProfileError`` if the profile has no numbers for it."""
    options, scheme = Options.of(deployment, name), SCHEMES[name]
    planned = servers(scheme, deployment, profile, dtype, adapter_rank)
    staffed = staff(planned, deployment, options, profile)
    cluster = _World(deployment, options, scheme, profile, load, staffed)
    fronts = [cluster.front(each) for each in staffed]
    found = {
        function: front
        for each, front in zip(staffed, fronts, strict=True)
        for function in each.server.adapters
    }
    calls = cluster.replay(found)
    return Outcome(
        calls,
        staffed,
        sorted((s for front in fronts for s in front.holdings.steps), key=attrgetter("t_ns")),
        sorted((d for front in fronts for d in front.decisions), key=attrgetter("t_ns")),
        round(profile.response_s.value * 1e9),
        cluster.threads,
        cluster.deciding.measured(),
    )


class _World:
    """The clock and the compute resources of the replicas."""

    def __init__(
        self,
        deployment: Deployment,
        options: Options,
        scheme: Scheme,
        profile: Profile,
        load: Load,
        staffed: Sequence[Staffed],
    ) -> None:
        self._load = load
        self._deployment, self._options = deployment, options
        self._scheme, self._profile = scheme, profile
        self._clock, self.deciding = Clock(), DecisionTimes()
        slots = profile.device_slots.value
        devices = [fitted.device.name for each in staffed for fitted in each.replicas]
        # The profile's server numbers hold for one that has its device, or all cores, to itself.
        cores = _shared(self._clock, 1, len(devices))
        self._compute = {
            name: _shared(self._clock, slots, users) if slots else cores
            for name, users in Counter(devices).items()
        }

    @property
    def threads(self) -> int:
        """CPU threads of a replica."""
        on_cpu = self._deployment.devices[0].kind == "cpu"
        cores = int(self._profile.cores.value) if on_cpu else 1
        return self._options.threads or max(1, cores // self._options.count)

    def front(self, staffed: Staffed) -> Front:
        """Create the front of one backbone with its replicas."""
        server, options = staffed.server, self._options
        placement = Placement(
            server.held,
            options.count,
            options.max_adapters or server.capacity,
            staffed.batch,
            self._scheme.costs(server.timings),
        )
        migrates = self._scheme.migrates and options.count > 1
        front = Front(
            self._clock,
            placement,
            Holdings(lambda: self._clock.now, server.latency.size, staffed.bytes),
            timeout_ns=round(self._deployment.limits.request_timeout_s * 1e9),
            interval_ns=round(options.migration_interval_s * 1e9) if migrates else None,
            ended=self._load.ended,
        )
        front.connect([self._replica(staffed, n, front) for n in range(options.count)])
        for number in range(options.count):
            front.holdings.adapters(number, len(placement.held(number)))
        return front

    def _replica(self, staffed: Staffed, number: int, front: Front) -> Replica:
        server = staffed.server
        return Replica(
            self._clock,
            self._compute[staffed.replicas[number].device.name],
            server.latency,
            self._scheme.batcher(staffed.batch, server.held, server.timings),
            staffed.batch,
            self.deciding,
            partial(front.stepped, number),
            partial(front.switched, number),
        )

    def replay(self, fronts: Mapping[str, Front]) -> dict[int, Call]:
        """Send all requests and run until no work is left."""
        profile = self._profile
        with_adapter = {f.id for f in self._deployment.functions if f.adapter}
        calls: dict[int, Call] = {}

        def submit(each: Arrival) -> None:
            work = Work(each.id, each.prompt_tokens, each.output_tokens)
            adapter = each.function if each.function in with_adapter else None
            calls[each.id] = call = Call(work, each.function, adapter, self._clock.now)
            fronts[each.function].submit(call)

        there_ns, back_ns = (
            round(each.value * 1e9) for each in (profile.request_s, profile.response_s)
        )
        self._load.drive(self._clock, submit, there_ns, back_ns)
        return calls


def _shared(clock: Clock, slots: float, users: int) -> Shared:
    return Shared(clock, slots) if users > 1 else Alone(clock)
