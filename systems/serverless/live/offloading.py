"""Has the instances of a node release artifacts, and checks that they did."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from systems.runtime.children import kill

from ..core import actions as act
from ..core import events as ev
from ..core.artifacts import Artifact, CopyKey
from .live_instance import LiveInstance
from .messages import OffloadArtifacts
from .nodes import Reports
from .plan import Plan
from .weights import mappings
from .weights.copies import StoredCopy


class Offloading:
    """Of ``instances``, by instance id, which map the shared ``copies``."""

    def __init__(
        self,
        plan: Plan,
        instances: Mapping[int, LiveInstance],
        copies: Mapping[CopyKey, StoredCopy],
        reports: Reports,
    ) -> None:
        self._plan, self._instances, self._copies = plan, instances, copies
        self._reports = reports

    def begin(self, action: act.OffloadArtifacts) -> None:
        """Tell an instance to release artifacts within ``release_grace_s``."""
        live = self._instances.get(action.instance)
        if live is not None:
            live.send(OffloadArtifacts(tuple(action.artifacts)))
            live.adapters.clear()
            live.giving_back, live.prewarmed = frozenset(action.artifacts), False
            grace_s = self._plan.options.release_grace_s
            live.offloading = asyncio.get_running_loop().call_later(grace_s, _overdue, live)

    def done(self, live: LiveInstance) -> None:
        """Report the memory as free. Kill an instance that still maps the shared copy."""
        live.offloaded()
        if self._still_mapped(live):
            self._distrust(live, "reported that it released its backbone, but still maps it")
        else:
            self._reports.event(ev.ArtifactsOffloaded(live.id))

    def _still_mapped(self, live: LiveInstance) -> bool:
        """Return whether an instance maps the copy that it was told to release. On a GPU that is
        unknown: False."""
        copy = self._copies.get(live.copy) if live.copy is not None else None
        fd = copy.weights_handle.fd if copy and self._plan.device == "cpu" else None
        pid = live.child.pid if live.child else None
        given = Artifact.BACKBONE in live.giving_back
        return given and fd is not None and pid is not None and mappings.holds(pid, fd)

    def _distrust(self, live: LiveInstance, verdict: str) -> None:
        """Kill an instance and ignore all further messages from it."""
        assert live.child is not None
        self._reports.problem(f"{live.group}: its instance {verdict}; it was ended")
        live.child.verdict = verdict
        live.child.on_message = lambda message, fds: None  # noqa: ARG005
        kill(live.child)


def _overdue(live: LiveInstance) -> None:
    """Kill an instance that did not release its artifacts: others wait for that memory."""
    if live.child is not None:
        live.child.verdict = "it kept artifacts that it was told to give back"
        kill(live.child)
