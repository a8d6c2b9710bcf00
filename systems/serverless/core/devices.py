"""What a controller's state consists of beside instances: devices, hosts, backbone copies."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from systems.interface import MemoryOwner

from .artifacts import CopyKey
from .cluster_spec import DeviceSpec
from .contention import Contention
from .fair_shares import Turns
from .instance import Instance
from .memory import Holding, MemoryLedger


class TemplatePhase(enum.Enum):
    ABSENT = enum.auto()
    STARTING = enum.auto()
    READY = enum.auto()


@dataclass(slots=True, eq=False)
class BackboneCopy:
    """A copy of a backbone and the instances that map it (or the one that owns it)."""

    key: CopyKey
    bytes: int
    """Freed with it: its weights, and its warm pool's ``pool_bytes``."""
    pool_bytes: int = 0
    loaded: bool = False
    load: int | None = None
    """The loading that was requested last; events of other loadings are ignored."""
    asked_ns: int = 0
    source: CopyKey | None = None
    """The copy that this loading copies; None: it reads the checkpoint."""
    loaded_ns: int = 0
    users: set[int] = field(default_factory=set)
    unused_since_ns: int = 0
    owner_group: str | None = None
    """The group of the instance that owns it; None if instances share it."""

    def copied_since_ns(self, source: BackboneCopy | None) -> int:
        """Return since when it is being copied from ``source``, which may have been loaded later
        than it was asked for; from None: since it was asked for."""
        return max(self.asked_ns, source.loaded_ns if source else 0)

    @property
    def holdings(self) -> dict[Holding, int]:
        """What it holds on its device, and for what."""
        weights = Holding(MemoryOwner.WEIGHTS, self.key, self.owner_group)
        pool = Holding(MemoryOwner.CONTEXT, self.key, None)
        return {weights: self.bytes - self.pool_bytes, pool: self.pool_bytes}


@dataclass(slots=True, eq=False)
class Device:
    """A device, its memory ledger and its instances."""

    spec: DeviceSpec
    memory: MemoryLedger
    instances: dict[int, Instance] = field(default_factory=dict)
    waiting: dict[int, Instance] = field(default_factory=dict)
    """Ready instances whose group has waiting requests, in the order they began to wait."""
    starved: dict[int, Instance] = field(default_factory=dict)
    """The same, but the KV cache of their next request does not fit now."""
    blocked: dict[str, None] = field(default_factory=dict)
    """Groups that cannot be started here for lack of memory, first come first."""
    resting: set[int] = field(default_factory=set)
    """Ids of the idle and sleeping instances, as policies were notified."""
    leaving_bytes: int = 0
    """The bytes that instances told to stop or offload will release."""
    prefilling: int = 0
    """The number of batches in their prefill here."""
    paused: dict[int, None] = field(default_factory=dict)
    """The ids of instances that were told to pause decoding, in that order."""
    hold_until_ns: int | None = None
    """When the first batch that is held back is due, if a timer is set for it."""
    contention: Contention = field(init=False)
    turns: Turns = field(default_factory=Turns)
    """Of the tenants, where there are several."""

    def __post_init__(self) -> None:
        self.contention = Contention(self.spec.slots)

    @property
    def at_work(self) -> int:
        """The number of instances that run requests or will: all that are not in ``resting``."""
        return len(self.instances) - len(self.resting)

    def slowdown(self, instances: int) -> float:
        """Return M of T_eff = M·T for this many instances at work."""
        return self.contention.slowdown(instances)


@dataclass(slots=True, eq=False)
class Host:
    """A machine: what its instances share in addition to devices."""

    template: TemplatePhase = TemplatePhase.ABSENT
    template_device: str | None = None
    """The device that holds the template's bytes, if one does."""
    dormant_bytes: int = 0
    """Host memory of the instances that hold nothing on a device."""
