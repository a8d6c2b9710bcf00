"""How long it takes until an instance can serve, from what its device holds now."""

from __future__ import annotations

from .artifacts import PRECEDENCE, Artifact
from .state import Instance, State


def start_ns(instance: Instance, state: State, now_ns: int) -> float:
    """Return the expected time until a new or sleeping ``instance`` can serve: the loading delays
    of all that it lacks, one after another. A backbone that its device holds takes none, and one
    that is being loaded takes the rest of its loading."""
    delay_ns = state.estimates(instance.group.id).delay_ns
    there = instance.in_place | instance.inherited
    lacks = [artifact for artifact in PRECEDENCE if artifact not in there]
    copy = state.copies.get(instance.copy)
    if copy is None or Artifact.BACKBONE not in lacks:
        return sum(delay_ns[artifact] for artifact in lacks)
    lacks.remove(Artifact.BACKBONE)
    left_ns = copy.left_ns(delay_ns[Artifact.BACKBONE], now_ns)
    return left_ns + sum(delay_ns[artifact] for artifact in lacks)
