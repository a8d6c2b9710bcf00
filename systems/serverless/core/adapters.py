"""Adapters in the places of instances that serve a group: loaded on demand or beforehand, replaced
by value."""

from __future__ import annotations

from collections import deque

from . import actions as act
from . import events as ev
from .adapter_index import by_work
from .artifacts import Artifact, Places
from .instance import Instance, Phase, Place
from .policies import Policies
from .state import State


class AdapterManager:
    """Decides which adapters are in which places; appends the actions to ``out``."""

    def __init__(self, state: State, policies: Policies, out: list[act.Action]) -> None:
        self._state = state
        self._policies = policies
        self._out = out

    def request(self, group: str, now: int) -> None:
        """Load the adapters that waiting requests of ``group`` need where they are missing, until
        no place is left. Of several instances, the least busy one gets an adapter. One more gets it
        if those that hold it have too little room for what they can run and it has room to spare;
        otherwise others would take its room, and the adapter be replaced before it is used."""
        index, ready = self._state.adapters(group), self._state.members(group).ready
        short = index.short() if ready else ()
        ranked = sorted(ready.values(), key=by_work) if short else []
        for function in short:
            able = ranked
            if function in index.crowded:
                able = [instance for instance in ranked if instance.id in index.free]
            elif function not in index.missing:
                continue
            placed = any(self._place(instance, function, now) for instance in able)
            if able and not placed:
                return

    def _there(self, instance: Instance, function: str) -> bool:
        """Return whether the adapter is in place, is being loaded, or is not needed."""
        spec = self._state.cluster.functions[function]
        return function in instance.places or instance.can_run(spec)

    def _place(self, instance: Instance, function: str, now: int) -> bool:
        """Load the adapter into a place of ``instance``; return False if none can be freed now."""
        if len(instance.places) >= instance.group.places:
            victim = self._victim(instance, now)
            if victim is None:
                return False
            self._drop(instance, victim.function)
            self._out.append(act.DropAdapter(instance.id, victim.function))
        rate = self._state.rate_of(function)
        instance.places[function] = Place(function, rate, asked_ns=now, used_ns=now)
        self._state.adapters(instance.group.id).holds(instance, function)
        self._out.append(act.LoadAdapter(instance.id, function))
        return True

    def _drop(self, instance: Instance, function: str) -> None:
        del instance.places[function]
        self._state.adapters(instance.group.id).drops(instance, function)

    def _victim(self, instance: Instance, now: int) -> Place | None:
        idle = self._idle(instance)
        victim = self._policies.offloading.adapter(idle, self._state, now) if idle else None
        if victim is None and idle:
            self._look_again(instance, min(place.used_ns for place in idle), now)
        elif victim is not None:
            self._state.note(
                "replace", instance=instance.id, function=victim.function, of=len(idle)
            )
        return victim

    def _idle(self, instance: Instance) -> list[Place]:
        """Return the places of ``instance`` whose adapters no request runs with or waits for."""
        places = instance.places
        idle = [place for place in places.values() if place.loaded and not place.running]
        needed = places.keys() & self._state.queue(instance.group.id).of_function.keys()
        return [place for place in idle if place.function not in needed] if needed else idle

    def _look_again(self, instance: Instance, used_ns: int, now: int) -> None:
        """Set a timer for the end of the keep-alive of the adapter that is unused longest."""
        if not instance.places_timer:
            instance.places_timer = True
            until_ns = max(used_ns + self._state.cluster.settings.keep_alive_ns, now)
            self._out.append(act.SetTimer(Places(instance.id), until_ns))

    def fill(self, instance: Instance, now: int) -> None:
        """Begin to load into free places of a ready instance what the policy wants there."""
        instance.wanted = deque(self._policies.preloading.adapters(instance, self._state, now))
        self.preload(instance, now)

    def preload(self, instance: Instance, now: int) -> None:
        """Load one more adapter into a free place before it is called, if the policy wanted one.
        One after another, so that one that is called does not wait behind many."""
        if instance.phase is not Phase.READY or not instance.places_settled:
            return
        while instance.wanted and len(instance.places) < instance.group.places:
            function = instance.wanted.popleft()
            if function not in self._state.failing and not self._there(instance, function):
                self._place(instance, function, now)
                return

    def loaded(self, event: ev.AdapterLoaded, now: int) -> Instance | None:
        """Record that an adapter is in place; return its instance, or None if it was not asked."""
        instance = self._asked(event)
        if instance is not None:
            place = instance.places[event.function]
            place.loaded = True
            self._state.failing.discard(event.function)
            learnt = self._state.estimates(instance.group.id)
            learnt.loaded(Artifact.ADAPTER, now - place.asked_ns)
        return instance

    def failed(self, event: ev.AdapterFailed) -> Instance | None:
        """Free the place of an adapter that cannot be loaded; return its instance, or None."""
        instance = self._asked(event)
        if instance is not None:
            self._drop(instance, event.function)
            self._state.failing.add(event.function)
        return instance

    def _asked(self, event: ev.AdapterLoaded | ev.AdapterFailed) -> Instance | None:
        instance = self._state.instances.get(event.instance)
        place = instance.places.get(event.function) if instance is not None else None
        return instance if place is not None and not place.loaded else None
