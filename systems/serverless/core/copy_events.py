"""Events of shared backbone copies and of their prewarmed processes."""

from __future__ import annotations

from . import events as ev
from .artifacts import Artifact
from .backbone_sources import lose_source
from .devices import BackboneCopy
from .instance import Phase
from .parts import Parts


class CopyEvents:
    """Brings the instances that wait for a copy to their goals, or ends them."""

    def __init__(self, parts: Parts) -> None:
        self._state, self._provisioning = parts.state, parts.provisioning
        self._releasing, self._keeping = parts.releasing, parts.keeping
        self._failing = parts.failing

    def _loading(self, event: ev.BackboneLoaded | ev.BackboneFailed) -> BackboneCopy | None:
        """Return the copy of ``event``, if its loading is the one requested last."""
        copy = self._state.copies.get(event.copy)
        return copy if copy is not None and copy.load == event.load else None

    def loaded(self, event: ev.BackboneLoaded, now: int) -> None:
        copy = self._loading(event)
        if copy is None or copy.loaded:
            return
        copy.loaded, copy.loaded_ns = True, now
        loaded_ns, copied_ns = self._took_ns(copy, now)
        for user in list(copy.users):
            instance = self._state.instances[user]
            learnt = self._state.estimates(instance.group.id)
            if copy.source is None:
                learnt.loaded(Artifact.BACKBONE, loaded_ns)
            else:
                learnt.copied(copied_ns)
            self._provisioning.advance(instance, now)
        self._state.took(copy.key.backbone, loaded_ns=loaded_ns, copied_ns=copied_ns)
        self._keeping.unused(copy.key, now)

    def _took_ns(self, copy: BackboneCopy, now: int) -> tuple[int, int]:
        """Return how long the copy's loading took, or its copying from another device."""
        if copy.source is None:
            return now - copy.asked_ns, 0
        return 0, now - copy.copied_since_ns(self._state.copies.get(copy.source))

    def prewarmed_ready(self, event: ev.PrewarmedReady, now: int) -> None:  # noqa: ARG002
        copy = self._state.copies.get(event.copy)
        if copy is None or not copy.key.shared or (event.ready and not copy.loaded):
            return
        self._state.set_prewarmed(copy.key, event.ready)
        self._state.took(copy.key.backbone, fork_ns=event.took_ns)

    def failed(self, event: ev.BackboneFailed, now: int) -> None:
        copy = self._loading(event)
        if copy is None:
            return
        copy.load, copy.loaded = None, False
        lose_source(copy.key, self._state)
        self._state.set_prewarmed(copy.key, 0)
        for user in list(copy.users):
            instance = self._state.instances[user]
            if instance.phase is Phase.STOPPING:
                continue
            if instance.asked:
                self._releasing.stop(instance)
                self._failing.blame(instance, event.reason, now)
            else:
                self._failing.lost(instance, event.reason, now)
        self._keeping.unused(event.copy, now)
