"""The templates of hosts in virtual time: started once, then instances are forked from them."""

from __future__ import annotations

from functools import partial

from systems.interface import Stage
from systems.runtime.stages import Timeline

from ..core import actions as act
from ..core import events as ev
from .machine import Machine


class Templates:
    """``libraries``: whether a template imports them before it is ready."""

    def __init__(self, machine: Machine, *, libraries: bool) -> None:
        self._machine, self._libraries = machine, libraries
        self.timelines = {host: Timeline.empty() for host in machine.hosts}

    def start(self, action: act.StartTemplate) -> None:
        machine, host = self._machine, action.host
        self.timelines[host].begin(Stage.WARMING, machine.clock.now)
        work_ns = machine.draws.ns(machine.profile.process_s, "process", f"template of {host}")
        machine.hosts[host].cores.start(work_ns, partial(self._up, host))

    def there(self, action: act.StartTemplate) -> None:
        """Let a template be ready at once."""
        self._machine.post(ev.TemplateReady(action.host))

    def _up(self, host: str) -> None:
        machine = self._machine
        self.timelines[host].end(Stage.WARMING, machine.clock.now)
        if not self._libraries:
            machine.post(ev.TemplateReady(host))
            return
        self.timelines[host].begin(Stage.LIBRARIES, machine.clock.now)
        work_ns = machine.draws.ns(machine.profile.libraries_s, "libraries", f"template of {host}")
        machine.hosts[host].cores.start(work_ns, partial(self._ready, host))

    def _ready(self, host: str) -> None:
        self.timelines[host].end(Stage.LIBRARIES, self._machine.clock.now)
        self._machine.post(ev.TemplateReady(host))
