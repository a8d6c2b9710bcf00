"""Prompts before decode steps, on devices whose processes take turns.

Beside M instances that decode, a prompt takes M + 1 times as long as alone. So while one instance
computes prompts, the others decode no further: first tokens come earlier, and the others' next ones
hardly later, since the work is the same. A pause lasts no longer than the prompts are expected to
take without it, so that decoding goes on where prompts never end.
"""

from __future__ import annotations

from . import actions as act
from .devices import Device
from .instance import Instance
from .state import State


class PromptsFirst:
    """``on``: whether there are pauses; otherwise nothing is ever done."""

    def __init__(self, state: State, on: bool, out: list[act.Action]) -> None:
        self._state, self._on, self._out = state, on, out

    def begun(self, instance: Instance) -> None:
        """Pause those that decode beside ``instance``, which is to prefill a batch."""
        device = self._state.devices[instance.device]
        if not self._on or device.spec.slots > 1:
            return
        assert instance.prefilling is not None
        most_ns = round(instance.prefilling.expected_ns)
        for number in device.contention.at_work:
            other = device.instances[number]
            if other.prefilling is None and number not in device.paused:
                self._pause(other, device, most_ns)

    def ended(self, instance: Instance) -> None:
        """Let all decode again once no instance of the device prefills; until then, ``instance``,
        which has, waits for the others."""
        device = self._state.devices[instance.device]
        if not self._on or device.spec.slots > 1:
            return
        if not device.prefilling:
            self._out += [act.ResumeDecoding(number) for number in device.paused]
            device.paused.clear()
        elif instance.running and instance.id not in device.paused:
            left = [each.prefilling for each in device.instances.values() if each.prefilling]
            self._pause(instance, device, round(max(each.expected_ns for each in left)))

    def _pause(self, instance: Instance, device: Device, most_ns: int) -> None:
        device.paused[instance.id] = None
        self._out.append(act.PauseDecoding(instance.id, most_ns))
