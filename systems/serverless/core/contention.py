"""How much the instances that compute on a device slow each other down."""

from __future__ import annotations

from collections.abc import Collection


class Contention:
    """The instances at work on a device, which prefill or decode, and a clock that runs at the
    speed of each of them: up to ``slots`` run at full speed, more share the device equally. The
    time that a prefill would take alone is the difference of two readings of this clock, although
    other instances begin and end meanwhile."""

    __slots__ = ("_alone_ns", "_at_work", "_since_ns", "_slots")

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._at_work: dict[int, None] = {}
        self._alone_ns = 0.0
        self._since_ns = 0

    @property
    def at_work(self) -> Collection[int]:
        """The ids of the instances that compute."""
        return self._at_work.keys()

    def began(self, instance: int, now_ns: int) -> None:
        """Count ``instance``, which computes from now on."""
        self.read_ns(now_ns)
        self._at_work[instance] = None

    def ended(self, instance: int, now_ns: int) -> None:
        """Stop counting ``instance``."""
        self.read_ns(now_ns)
        self._at_work.pop(instance, None)

    def read_ns(self, now_ns: int) -> float:
        """Return the reading of the clock."""
        passed_ns = now_ns - self._since_ns
        if passed_ns:
            self._alone_ns += passed_ns / self.slowdown(len(self._at_work))
            self._since_ns = now_ns
        return self._alone_ns

    def with_work_of(self, instance: int) -> float:
        """Return the slowdown while ``instance`` is at work too."""
        return self.slowdown(len(self._at_work) + (instance not in self._at_work))

    def slowdown(self, instances: int) -> float:
        """Return M of T_eff = M·T for this many instances at work: the instances per slot, at
        least 1."""
        return instances / self._slots if instances > self._slots else 1.0
