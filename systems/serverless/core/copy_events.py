"""Events of shared backbone copies: loaded or failed."""

from __future__ import annotations

from . import events as ev
from .artifacts import Artifact
from .backbone_sources import lose_source
from .devices import BackboneCopy
from .estimates import Estimates
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
        for user in list(copy.users):
            instance = self._state.instances[user]
            self._learn_loading(copy, self._state.estimates(instance.group.id), now)
            self._provisioning.advance(instance, now)
        self._keeping.unused(copy.key, now)

    def _learn_loading(self, copy: BackboneCopy, learnt: Estimates, now: int) -> None:
        if copy.source is None:
            learnt.loaded(Artifact.BACKBONE, now - copy.asked_ns)
        else:
            source = self._state.copies.get(copy.source)
            learnt.copied(now - copy.copied_since_ns(source))

    def failed(self, event: ev.BackboneFailed, now: int) -> None:
        copy = self._loading(event)
        if copy is None:
            return
        copy.load, copy.loaded = None, False
        lose_source(copy.key, self._state)
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
