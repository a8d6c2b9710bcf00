"""How long it takes until an instance can serve, from what its device holds now."""

from __future__ import annotations

from .artifacts import BACKBONE, GONE, KERNELS, LIBRARIES, PRECEDENCE
from .backbone_sources import load_ns
from .devices import TemplatePhase
from .instance import Instance
from .state import State


def start_ns(instance: Instance, state: State, now_ns: int) -> float:
    """Return the expected time until a new or sleeping ``instance`` can serve: the loading delays
    of all that it lacks, one after another. A backbone that its device holds takes none, and one
    that is being loaded takes the rest of its loading. A prewarmed process that is ready there has
    libraries and kernels, and is only taken over; that its engine fits the group is assumed. A fork
    inherits nothing of a template that is not ready."""
    learnt = state.estimates(instance.group.id)
    ready = state.host_of(instance).template is TemplatePhase.READY
    there = instance.in_place | (instance.inherited if ready else GONE)
    lacks = [artifact for artifact in PRECEDENCE if artifact not in there]
    delay_ns = dict(learnt.delay_ns)
    if instance.device in state.prewarmed[instance.group.backbone]:
        delay_ns[KERNELS] = learnt.takeover_ns
        if instance.forked:
            delay_ns[LIBRARIES] = 0.0
    else:
        forks = instance.forked and not instance.asked
        delay_ns[KERNELS] = learnt.fork_ns if forks else learnt.kernels_ns
    if BACKBONE in lacks:
        delay_ns[BACKBONE] = load_ns(instance.copy, learnt, state, now_ns)
    return sum([delay_ns[artifact] for artifact in lacks])
