"""The adapters of shared instances in virtual time, from the tiers of hosts into places."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ..core import actions as act
from ..core import events as ev
from .adapters import AdapterLoad, AdapterTier
from .machine import Machine
from .running import Process


class AdapterPlaces:
    """``processes``: the instances, by id. ``tier_bytes``: the limit of each host's tier.
    ``libraries``: whether parsers are forked from a template that holds them."""

    def __init__(
        self,
        machine: Machine,
        processes: Mapping[int, Process],
        tier_bytes: int,
        *,
        libraries: bool,
    ) -> None:
        self._machine, self._processes = machine, processes
        imports_ns = 0 if libraries else machine.profile.libraries_s.value * 1e9
        self._on_cards = all(each.startswith("cuda") for each in machine.cluster.devices)
        self._tier_bytes = dict.fromkeys(machine.hosts, 0)
        self._tiers = {
            host: AdapterTier(each.cores, tier_bytes, imports_ns, partial(self._tier_resized, host))
            for host, each in machine.hosts.items()
        }

    def prepare(self, action: act.PrepareAdapter) -> None:
        group = self._machine.cluster.functions[action.function].group
        self._tiers[action.host].prepare(action.function, self._machine.latency[group])

    def load(self, action: act.LoadAdapter) -> None:
        process, machine = self._processes[action.instance], self._machine
        link, loaded = machine.hardware[process.device].link, partial(self._loaded, action)
        load = AdapterLoad(machine.clock, link, process.latency, loaded)
        process.adapters[action.function] = load
        tier = self._tiers[machine.host_of(process.device)]
        tier.get(action.function, process.latency, load.copy)

    def drop(self, action: act.DropAdapter) -> None:
        self._processes[action.instance].adapters.pop(action.function).drop()

    def _loaded(self, action: act.LoadAdapter) -> None:
        self._machine.post(ev.AdapterLoaded(action.instance, action.function))

    def _tier_resized(self, host: str, change: int) -> None:
        """Report a host tier as host memory where devices have memory of their own, as live."""
        self._tier_bytes[host] += change
        if self._on_cards:
            self._machine.post(ev.AdapterTierResized(self._tier_bytes[host], host))
