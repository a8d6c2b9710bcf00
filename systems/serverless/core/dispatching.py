"""Gives waiting requests to instances: which batches run, who may wait, what starts for them."""

from __future__ import annotations

from collections.abc import Sequence

from . import actions as act
from .adapter_index import by_work
from .adapter_preparation import AdapterPreparation
from .adapters import AdapterManager
from .cluster_spec import GroupSpec
from .devices import Device
from .instance import READY, Instance
from .keep_alive_manager import KeepAliveManager
from .policies import Policies
from .policies.batching import Batch
from .prefill import Prefill
from .prompts_first import PromptsFirst
from .provisioning import Provisioning
from .state import State
from .waiting import Request


class Dispatching:
    """Runs batches, and starts instances for what cannot run; appends the actions to ``out``."""

    def __init__(
        self,
        state: State,
        policies: Policies,
        provisioning: Provisioning,
        keeping: KeepAliveManager,
        adapters: AdapterManager,
        preparation: AdapterPreparation,
        prompts_first: PromptsFirst,
        out: list[act.Action],
    ) -> None:
        self._state = state
        self._policies = policies
        self._provisioning = provisioning
        self._keeping = keeping
        self._adapters = adapters
        self._preparation = preparation
        self._prompts_first = prompts_first
        self._out = out
        self._batches = 0

    def serve(self, group: str, now: int, arrived: Request | None = None) -> None:
        """Dispatch the waiting requests of ``group`` to its instances, or start one."""
        queue, served = self._state.queue(group), bool(self._state.serving(group))
        self.request_adapters(self._state.cluster.groups[group], now)
        for instance in self._offered(group, arrived):
            if instance.phase is READY:
                self.may_run(instance)
                self.dispatch(self._state.devices[instance.device], now)
            if not queue:
                return
            if arrived is not None and arrived.instance is not None:
                break
        if not served:
            # An instance that is offloading is woken once it sleeps. A group that waits for
            # memory is started when some comes free.
            waits = self._state.members(group).offloading or group in self._state.blocked_on
            if not waits and not self._provisioning.take_over(group, now):
                self._provisioning.start(group, now)
        else:
            self.scale(group, now)

    def _offered(self, group: str, arrived: Request | None) -> Sequence[Instance]:
        """Return the instances that can run more requests of ``group`` than before, the least busy
        first: all of a function's; of a group that has places, those that hold the adapter of the
        request that arrived, since the others see no difference."""
        if not self._state.cluster.groups[group].places:
            return sorted(self._state.serving(group), key=by_work)
        return self._state.adapters(group).offered(arrived.function) if arrived else ()

    def without_adapter(self, instance: Instance, now: int) -> None:
        """Let an instance that became ready run what needs no adapter, and so waits for none to be
        loaded."""
        index = self._state.adapters(instance.group.id) if instance.group.places else None
        if index is not None and any(map(self._state.queue(instance.group.id).of, index.without)):
            self.may_run(instance)
            self.dispatch(self._state.devices[instance.device], now)

    def may_run(self, instance: Instance) -> None:
        """Let a ready ``instance`` take batches, if requests of its group wait."""
        starved = self._state.devices[instance.device].starved
        if self._state.queue(instance.group.id) and instance.id not in starved:
            self._state.waits(instance)

    def request_adapters(self, group: GroupSpec, now: int) -> None:
        """Load or prepare the adapters that waiting requests of ``group`` need, if it shares."""
        if group.places:
            self._adapters.request(group.id, now)
            self._preparation.for_waiting(group)

    def scale(self, group: str, now: int) -> None:
        """Start an instance beside those of ``group`` if the scaling policy wants another."""
        if self._policies.scaling.wants_another(group, self._state, now):
            self._provisioning.start_beside(group, now)

    def dispatch(self, device: Device, now: int) -> None:
        """Run batches on a device until its batching policy returns none to run now."""
        while device.waiting:
            choice = self._policies.batching.choose(device, self._state, now)
            if choice is None:
                return
            if not isinstance(choice, Batch):
                self._hold(device, choice.until_ns)
                return
            instance = choice.instance
            taken = self._provisioning.admit(instance, choice.requests, now)
            if taken:
                self._run(instance, taken, now)
            else:
                self._state.starve(instance)

    def _hold(self, device: Device, until_ns: int) -> None:
        if device.hold_until_ns is None or until_ns < device.hold_until_ns:
            device.hold_until_ns = until_ns
            self._out.append(act.SetTimer(device.spec.id, until_ns))

    def _run(self, instance: Instance, batch: list[Request], now: int) -> None:
        joins = bool(instance.running)
        number = self._begin(instance, len(batch), now)
        queue = self._state.queue(instance.group.id)
        for request in batch:
            self._state.dequeue(request)
            request.instance, request.batch = instance.id, number
            request.begun_ns = now
            self._state.begin(instance, request)
        ids = tuple(request.id for request in batch)
        self._out.append(act.RunBatch(instance.id, number, ids))
        if not queue:
            self.nobody_waits(instance.group.id, now)
        if joins and not queue:  # else it is asked again while requests wait
            self.scale(instance.group.id, now)

    def _begin(self, instance: Instance, size: int, now: int) -> int:
        """Record that ``instance`` is to prefill a batch, or more of one that it has not begun;
        return the batch's number."""
        if instance.prefilling is not None:
            instance.prefilling = self._more(instance, instance.prefilling, size)
            return instance.prefilling.batch
        self._batches += 1
        device = self._state.devices[instance.device]
        device.prefilling += 1
        self._state.leave_rest(instance)
        if instance.running:
            self._state.joins(instance)
        device.contention.began(instance.id, now)
        instance.prefilling = self._prefill(instance, size, now)
        self._prompts_first.begun(instance)
        return self._batches

    def _more(self, instance: Instance, prefill: Prefill, size: int) -> Prefill:
        slowdown = self._state.devices[instance.device].contention.with_work_of(instance.id)
        times, size = self._state.estimates(instance.group.id).prefills, prefill.size + size
        expected_ns = times.expected_ns(size, slowdown, joins=prefill.joins)
        return prefill._replace(size=size, expected_ns=expected_ns)

    def _prefill(self, instance: Instance, size: int, now: int) -> Prefill:
        contention = self._state.devices[instance.device].contention
        joins, learnt = bool(instance.running), self._state.estimates(instance.group.id)
        return Prefill(
            batch=self._batches,
            size=size,
            joins=joins,
            first=not instance.prefilled_ns,
            began_ns=now,
            began_alone_ns=contention.read_ns(now),
            expected_ns=learnt.prefills.expected_ns(
                size, contention.with_work_of(instance.id), joins=joins
            ),
            open=joins and self._stays_open(instance, now),
        )

    def _stays_open(self, instance: Instance, now: int) -> bool:
        """Return whether others may come to a batch of an instance that decodes. One that is the
        answer to another's first tokens begins at once."""
        back_to_back = self._policies.batching.back_to_back and instance.group.places
        return bool(back_to_back) and instance.prefilled_ns != now

    def nobody_waits(self, group: str, now: int) -> None:
        """Handle that no request of ``group`` waits any more: its idle instances may be evicted,
        and groups queued behind it for memory of a device may start."""
        members = self._state.members(group)
        for instance in list(members.waiting.values()):
            self._state.not_waiting(instance)
        pressed = self._state.pressed(group)
        again = members.ready if pressed else members.untimed
        for _, instance in sorted(again.items()):
            self.rest(instance, now)
        if not pressed:
            self._state.group_rested(group, now)
        device = self._state.blocked_on.get(group)
        if device is not None:
            self._state.unblock(group)
            self.after_release(device, now)

    def rest(self, instance: Instance, now: int) -> None:
        """Start the keep-alive of ``instance`` if it is idle or asleep; it may now be evicted."""
        if self._keeping.rest(instance, now):
            self.after_release(instance.device, now)

    def after_release(self, device_id: str, now: int) -> None:
        """Retry what waits for memory of a device: some came free or can now be freed."""
        device = self._state.devices[device_id]
        if device.blocked:
            self._provisioning.retry(device_id, now)
        if device.starved:
            device.waiting.update(device.starved)
            device.starved.clear()
        self.dispatch(device, now)
