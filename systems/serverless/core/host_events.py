"""Events of hosts and their templates: they join, are ready, and end."""

from __future__ import annotations

from systems.interface import MemoryOwner

from . import events as ev
from .artifacts import CopyKey
from .devices import TemplatePhase
from .instance import Instance
from .memory import Holding
from .parts import Parts


def _tier(host_id: str) -> Holding:
    """Return the holding for the host tier of adapters."""
    return Holding(MemoryOwner.HOST_TIER, CopyKey("adapters", host_id), None)


class HostEvents:
    """Adds and removes hosts with all that is on them."""

    def __init__(self, parts: Parts) -> None:
        self._state, self._policies = parts.state, parts.policies
        self._templates, self._copies = parts.templates, parts.copies
        self._preparation, self._provisioning = parts.preparation, parts.provisioning
        self._releasing, self._dispatching = parts.releasing, parts.dispatching
        self._failing = parts.failing

    def deployed(self, event: ev.Deployed, now: int) -> None:  # noqa: ARG002
        for host in self._state.hosts:
            self._before_requests(host, now)

    def _before_requests(self, host: str, now: int) -> None:
        """Start on ``host`` what settings ask for before the first request, if policies pre-load
        what no instance asks for."""
        if self._policies.preloading.forks:
            self._templates.start_early(host)
            self._copies.load_early(host, now)
            self._preparation.at_deployment(host)

    def _instances_on(self, host: str) -> list[Instance]:
        """Return the instances on ``host`` in the order in which they were started."""
        found = [i for device in self._state.devices_of(host) for i in device.instances.values()]
        return sorted(found, key=lambda instance: instance.id)

    def joined(self, event: ev.HostJoined, now: int) -> None:
        """Add the devices. Requests that wait for memory or for a device may now run on them."""
        self._state.add_devices(event.devices)
        for host in {device.host: None for device in event.devices}:
            self._before_requests(host, now)
        for group in list(self._state.blocked_on):
            self._state.unblock(group)
        for group in [name for name, queue in self._state.queues.items() if queue]:
            self._dispatching.serve(group, now)

    def left(self, event: ev.HostLeft, now: int) -> None:
        """Fail the requests that ran on the host, and start elsewhere the groups with waiting
        requests. This does not count as a failed start."""
        if event.host not in self._state.hosts:
            return
        devices, lost = self._state.devices_of(event.host), self._instances_on(event.host)
        waiting = {instance.group.id for instance in lost}
        waiting.update(group for device in devices for group in device.blocked)
        for instance in lost:
            self._failing.fail_running(instance, event.reason, now)
            self._releasing.release(instance)
            self._state.remove_instance(instance)
        self._remove(event.host)
        for group in sorted(waiting):
            if self._state.queue(group):
                self._dispatching.serve(group, now)

    def _remove(self, host_id: str) -> None:
        """Remove a host whose instances were removed before: its copies, its template, its devices
        and the queues for their memory."""
        self._templates.leave(host_id)
        self._hold_tier(host_id, 0)
        for device in self._state.devices_of(host_id):
            for copy in [c for c in self._state.copies.values() if c.key.device == device.spec.id]:
                self._copies.forget(copy)
            for group in list(device.blocked):
                self._state.unblock(group)
            self._state.remove_device(device)
        del self._state.hosts[host_id]

    def template_ready(self, event: ev.TemplateReady, now: int) -> None:
        host = self._state.hosts.get(event.host)
        if host is None:
            return
        host.template = TemplatePhase.READY
        for instance in self._instances_on(event.host):
            self._provisioning.advance(instance, now)

    def template_died(self, event: ev.TemplateDied, now: int) -> None:
        host = self._state.hosts.get(event.host)
        if host is None:
            return
        home = self._templates.lose(host)
        for instance in self._instances_on(event.host):
            if instance.forked and not instance.asked:
                self._failing.lost(instance, event.reason, now)
        if home is not None:
            self._dispatching.after_release(home, now)

    def tier_resized(self, event: ev.AdapterTierResized, now: int) -> None:  # noqa: ARG002
        self._hold_tier(event.host, event.nbytes)

    def _hold_tier(self, host_id: str, nbytes: int) -> None:
        """Count the host tier of adapters of a host that is there."""
        if host_id in self._state.hosts:
            self._state.host_memory.resize(_tier(host_id), nbytes)
