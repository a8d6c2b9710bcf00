"""How long a process may be heard: one that sends without end delays all others."""

from __future__ import annotations

REST = 1.0
"""Seconds of rest for each second in which a process was heard: it gets half of the time. Gateways
of live runs needed up to a third of a core at their highest loads, most of which one instance may
take that answers all functions of a device: it must not be held up."""
_MOST_OWED_S = 0.25
"""A rest that is shorter is put off. A message that ends the requests of a whole batch takes some
ms, and tokens must not wait for them."""


class Share:
    """The rest that is due to all others. It passes while the process is not heard."""

    def __init__(self) -> None:
        self._owed_s = self._until_s = 0.0

    def heard(self, began_s: float, ended_s: float) -> float:
        """Count the time in which the process was heard, and was worked for; return for how many
        seconds from ``ended_s`` on it is not to be heard, mostly 0."""
        passed_s = began_s - self._until_s
        self._owed_s = max(0.0, self._owed_s - passed_s) + REST * (ended_s - began_s)
        self._until_s = ended_s
        return self._owed_s if self._owed_s > _MOST_OWED_S else 0.0
