"""Invariants under any order of events, failures included: no request is lost or answered twice,
memory never exceeds a device, precedence holds, every instance is stopped or alive, and events that
an instance or a loader sends without having been asked change nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from systems.request_limits import UNLIMITED, RequestLimits
from systems.serverless.core.artifacts import DORMANT
from systems.serverless.core.instance import Phase

from . import indices
from .machine import EVERY, Machine, cluster


class AnyOrder(RuleBasedStateMachine):
    machine: Machine

    @initialize(
        bundle=st.sampled_from(sorted(EVERY)),
        memory=st.integers(140, 420),
        backbones=st.integers(1, 2),
        devices=st.integers(1, 3),
        apart=st.booleans(),
        card=st.booleans(),
        shared=st.booleans(),
        places=st.integers(1, 3),
        peers=st.booleans(),
        bare=st.booleans(),
        tenants=st.integers(1, 3),
        limits=st.sampled_from([UNLIMITED, RequestLimits(3, 2, 1e6, 4)]),
    )
    def deploy(
        self,
        bundle: str,
        memory: int,
        backbones: int,
        devices: int,
        apart: bool,
        card: bool,
        shared: bool,
        places: int,
        peers: bool,
        bare: bool,
        tenants: int,
        limits: RequestLimits,
    ) -> None:
        deployed = cluster(
            functions=4,
            backbones=backbones,
            devices=devices,
            memory=memory + (5 * (places - 1) if shared else 0),  # room for one instance at least
            apart=apart,
            card=card,
            shared=shared,
            places=places,
            peers=peers,
            bare=bare,
            tenants=tenants,
            limits=limits,
        )
        self.machine = Machine(deployed, EVERY[bundle])

    def _one(self, data: Any, among: list[Any], do: Callable[[Any], None]) -> None:
        if among:
            do(data.draw(st.sampled_from(sorted(among, key=str))))

    @rule(function=st.sampled_from(["f0", "f1", "f2", "f3"]), tokens=st.integers(1, 10))
    def arrive(self, function: str, tokens: int) -> None:
        self.machine.arrive(function, tokens, tokens)

    @rule(steps=st.integers(1, 6))
    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.machine.step()

    @rule(data=st.data())
    def a_client_leaves(self, data: Any) -> None:
        running = [r for p in self.machine.processes.values() for r in p.fresh | p.decoding]
        self._one(data, [*self.machine.waiting, *running], self.machine.cancel)

    @rule(data=st.data())
    def a_cancelled_request_is_let_go(self, data: Any) -> None:
        running = [r for i in self.machine.busy() for r in self.machine.running(i)]
        among = [r for r in running if r in self.machine.cancelling]
        self._one(data, among, self.machine.lets_go)

    @rule()
    def all_say_what_is_not_theirs_to_say(self) -> None:
        self.machine.disbelieves(self.machine.forgeries())

    @rule(data=st.data())
    def an_instance_dies(self, data: Any) -> None:
        self._one(data, list(self.machine.processes), self.machine.dies)

    @rule(data=st.data())
    def a_template_dies(self, data: Any) -> None:
        self._one(data, list(self.machine.templates), self.machine.template_dies)

    @rule(data=st.data())
    def a_host_leaves(self, data: Any) -> None:
        there = {d.host for d in self.machine.cluster.devices.values()} - self.machine.left
        self._one(data, list(there), self.machine.host_leaves)

    @rule(data=st.data())
    def a_host_joins(self, data: Any) -> None:
        self._one(data, list(self.machine.left), self.machine.host_joins)

    @rule(data=st.data())
    def a_backbone_fails_to_load(self, data: Any) -> None:
        loading = [c for c, state in self.machine.copies.items() if state == "loading"]
        self._one(data, loading, self.machine.backbone_fails)

    @rule(data=st.data(), took_ns=st.integers(0, 500))
    def a_process_is_prewarmed(self, data: Any, took_ns: int) -> None:
        ready = [host for host, state in self.machine.templates.items() if state == "ready"]
        devices, copies = self.machine.cluster.devices, self.machine.copies
        there = [c for c in copies if copies[c] == "loaded" and devices[c.device].host in ready]
        self._one(
            data, [c for c in there if c.shared], lambda each: self.machine.prewarms(each, took_ns)
        )

    @rule(data=st.data())
    def an_adapter_is_loaded(self, data: Any) -> None:
        self._one(data, self.machine.loading(), lambda each: self.machine.loads_adapter(*each))

    @rule(data=st.data())
    def an_adapter_fails_to_load(self, data: Any) -> None:
        self._one(data, self.machine.loading(), lambda each: self.machine.adapter_fails(*each))

    @rule(data=st.data())
    def a_timer_fires(self, data: Any) -> None:
        self._one(data, list(self.machine.timers), self.machine.fires)

    @rule(duration=st.integers(1, 3000))
    def time_passes(self, duration: int) -> None:
        for timer, at_ns in sorted(self.machine.timers.items(), key=lambda item: item[1]):
            if at_ns <= self.machine.now + duration and timer in self.machine.timers:
                self.machine.fires(timer)
        self.machine.now += duration

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "machine"):
            return
        machine = self.machine
        running = {r for p in machine.processes.values() for r in p.fresh | p.decoding}
        known = set(machine.waiting) | running | set(machine.answers)
        assert known == set(range(1, machine.arrived + 1))
        assert set(machine.controller.state.requests) == set(machine.waiting) | running
        limiter = machine.controller.limiter
        held = Counter(machine.of[request] for request in machine.controller.state.requests)
        assert {f: limiter.in_flight(f) for f in machine.cluster.functions} == {
            f: held[f] for f in machine.cluster.functions
        }
        assert machine.seen_instances == set(machine.processes) | machine.ended_instances

    @invariant()
    def what_is_counted_is_what_there_is(self) -> None:
        if not hasattr(self, "machine"):
            return
        state = self.machine.controller.state
        assert set(state.hosts) == {device.spec.host for device in state.devices.values()}
        assert {copy.device for copy in state.copies} <= set(state.devices)
        assert {copy for copy in self.machine.copies if copy.shared} <= set(state.copies)
        for copy, ready in self.machine.pool.items():
            told = state.prewarmed[copy.backbone].get(copy.device, 0)
            assert told == ready or copy in self.machine.untold
        dormant = dict.fromkeys(state.hosts, 0)
        for device in state.devices.values():
            there = device.instances.values()
            assert device.prefilling == sum(i.prefilling is not None for i in there)
            assert {*device.contention.at_work} == {i.id for i in there if i.busy}
            assert device.leaving_bytes == sum(i.leaving_bytes for i in there)
            assert set(device.blocked) == {
                f for f, where in state.blocked_on.items() if where == device.spec.id
            }
        assert all(state.queue(function) for function in state.blocked_on)
        for instance in state.instances.values():
            sleeping = instance.phase in (Phase.ASLEEP, Phase.OFFLOADING)
            if sleeping and instance.goal == DORMANT:
                host = state.devices[instance.device].spec.host
                dormant[host] += instance.group.dormant_bytes
            for place in instance.places.values():
                running = [r for r in instance.running.values() if r.function == place.function]
                assert place.running == len(running)
            assert instance.running_kv_bytes == sum(r.kv_bytes for r in instance.running.values())
        assert {name: host.dormant_bytes for name, host in state.hosts.items()} == dormant
        assert max(dormant.values(), default=0) <= state.cluster.settings.container_memory_bytes

    @invariant()
    def an_index_has_what_a_search_finds(self) -> None:
        if hasattr(self, "machine"):
            indices.check(self.machine.controller.state)

    @invariant()
    def no_place_stays_unused_that_a_waiting_function_could_have(self) -> None:
        if (
            not hasattr(self, "machine")
            or self.machine.controller.policies.offloading.name == "none"
        ):
            return
        state = self.machine.controller.state
        for group in state.cluster.groups.values():
            waiting = state.queue(group.id).of_function
            ready = [i for i in state.serving(group.id) if i.phase is Phase.READY]
            needing = [f for f in waiting if state.cluster.functions[f].adapter_bytes]
            missing = [f for f in needing if all(f not in i.places for i in ready)]
            for instance in ready if group.places and missing else ():
                assert len(instance.places) == group.places
                assert all(
                    not place.loaded or place.running or place.function in waiting
                    for place in instance.places.values()
                )

    def teardown(self) -> None:
        if not hasattr(self, "machine"):
            return
        machine = self.machine
        for host in sorted(machine.left):
            machine.host_joins(host)
        machine.settle()
        if machine.controller.policies.offloading.name != "none":
            assert not machine.waiting, "everything that waited was served"
        for _ in range(400):
            if not machine.timers:
                break
            machine.fires(min(machine.timers, key=machine.timers.__getitem__))
            machine.settle()
        assert not machine.waiting, "without offloading, after the keep-alive"
        assert not machine.processes, "keep-alive ends every idle instance"
        assert not machine.copies
        assert sum(machine.held.values()) == 10 * len(machine.templates)


AnyOrder.TestCase.settings = settings(max_examples=200, stateful_step_count=40)
TestAnyOrder = AnyOrder.TestCase
