"""The messages between the gateway and the agent of a node.

Actions and events of the core are sent as messages of the same name, with bounds: ``of`` makes the
message, ``core`` converts it back to the action or event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from systems.interface import Deployment, Stage
from systems.runtime.links.message import Count, Label, Message, Name, Ns, Part, Ping, Pong, Text

from ...core import actions as act
from ...core import events as ev
from ...core.artifacts import Artifact, CopyKey
from ..messages import INSTANCE_SAYS
from ..nodes import DeviceWork as NodeDeviceWork

VERSION = 8
"""Version of these messages."""
_MOST_DEVICES = 256
_MOST_SPANS = 1 << 16
_MOST_MODELS = 1 << 16

ToInstance = Annotated[bytes, Meta(max_length=32 << 20)]
"""A message to an instance, as JSON; the node passes it on."""
OfInstance = Annotated[bytes, Meta(max_length=8 * INSTANCE_SAYS.most_bytes)]
"""A message of an instance, as JSON; the agent encodes it again, so it may become longer."""
Residents = Annotated[tuple[Artifact, ...], Meta(max_length=len(Artifact))]
Prints = Annotated[dict[Label, Label], Meta(max_length=_MOST_MODELS)]
"""Digests by backbone and function."""


class Carried(Message, frozen=True):
    """Base class of a message with an action or event of the core, of type ``carries``."""

    carries: ClassVar[type]

    def core(self) -> Any:
        return msgspec.convert(self, self.carries, from_attributes=True)


# -- from the gateway ---------------------------------------------------------------------------


class Offer(Message, frozen=True):
    """Sends the deployment to a node, with digests that its models must match. ``cache``: the
    gateway's folder of models made from seeds."""

    deployment: Deployment
    forks: bool
    prints: Prints
    cache: Label


class Refused(Message, frozen=True):
    """The gateway does not use this node."""

    reason: Text


class Welcome(Message, frozen=True):
    """The gateway uses this node."""


class Stop(Message, frozen=True):
    """End all processes and close the link."""


class Say(Message, frozen=True):
    """Forward a message to an instance."""

    instance: Count
    said: ToInstance


class StartTemplate(Carried, frozen=True):
    carries = act.StartTemplate
    host: Name


class StartInstance(Carried, frozen=True):
    carries = act.StartInstance
    instance: Count
    group: Label
    device: Label
    forked: bool
    takes: Count | None = None


class StopInstance(Carried, frozen=True):
    carries = act.StopInstance
    instance: Count


class LoadArtifact(Carried, frozen=True):
    carries = act.LoadArtifact
    instance: Count
    artifact: Artifact
    copy: CopyKey | None


class OffloadArtifacts(Carried, frozen=True):
    carries = act.OffloadArtifacts
    instance: Count
    artifacts: Residents


class PrepareAdapter(Carried, frozen=True):
    carries = act.PrepareAdapter
    host: Name
    function: Label


class LoadAdapter(Carried, frozen=True):
    carries = act.LoadAdapter
    instance: Count
    function: Label


class DropAdapter(Carried, frozen=True):
    carries = act.DropAdapter
    instance: Count
    function: Label


class LoadBackbone(Carried, frozen=True):
    carries = act.LoadBackbone
    copy: CopyKey
    load: Count


class CopyBackbone(Carried, frozen=True):
    carries = act.CopyBackbone
    copy: CopyKey
    load: Count
    source: CopyKey


class DropBackbone(Carried, frozen=True):
    carries = act.DropBackbone
    copy: CopyKey


class DeviceWork(Carried, frozen=True):
    carries = NodeDeviceWork
    device: Label
    busy: bool


Action = (
    StartTemplate
    | StartInstance
    | StopInstance
    | LoadArtifact
    | OffloadArtifacts
    | PrepareAdapter
    | LoadAdapter
    | DropAdapter
    | LoadBackbone
    | CopyBackbone
    | DropBackbone
    | DeviceWork
)
FromGateway = Offer | Refused | Welcome | Stop | Ping | Say | Action


# -- from an agent ------------------------------------------------------------------------------


class AgentHello(Message, frozen=True):
    """Introduces a node. ``version``: its :data:`VERSION`; ``clock``: its ``clock_id()``."""

    version: Count
    name: Name
    clock: Label


class OfferedDevice(Part, frozen=True):
    name: Label
    memory_bytes: Count
    slots: Count


class Ready(Message, frozen=True):
    """The node has all models and offers its devices. ``threads``: CPU threads per instance."""

    devices: Annotated[tuple[OfferedDevice, ...], Meta(min_length=1, max_length=_MOST_DEVICES)]
    threads: Annotated[int, Meta(ge=1, le=1 << 16)]


class Declined(Message, frozen=True):
    """The node cannot serve the deployment."""

    reason: Text


class IsolationGap(Message, frozen=True):
    """Reports an isolation gap of the node."""

    text: Text


class Problem(Message, frozen=True):
    """Reports a failure on the node that no client sees."""

    text: Text


class Memory(Message, frozen=True):
    """Memory of all processes of the node; None if unknown."""

    t_ns: Ns
    pss_bytes: Count | None
    uss_bytes: Count | None


class Metered(Message, frozen=True):
    """Processor time of an instance."""

    instance: Count
    start_ns: Ns
    end_ns: Ns
    used_ns: Ns


class Summed(Part, frozen=True):
    """Checksum of a shared copy, and the time span in which the copy was read."""

    checksum: Annotated[int, Meta(ge=0)]
    start_ns: Ns
    end_ns: Ns


class Audited(Message, frozen=True):
    """The result of an audit of a shared copy."""

    copy: CopyKey
    last: Summed
    now: Summed | None
    reason: Text


class Tokens(Message, frozen=True):
    """Forwards a message of an instance about its requests."""

    instance: Count
    said: OfInstance


class StageSpan(Part, frozen=True):
    """A finished stage of an instance."""

    stage: Stage
    start_ns: Ns
    end_ns: Ns


class OfAnInstance(Carried, frozen=True):
    """An event of one instance."""

    instance: Count


class Settled(OfAnInstance, frozen=True):
    """An event after which the instance may be able to run. ``spans`` are its stages so far;
    ``up_ns`` is when its process came up, 0 if it is not up."""

    spans: Annotated[tuple[StageSpan, ...], Meta(max_length=_MOST_SPANS)] = ()
    up_ns: Ns = 0


class Ended(OfAnInstance, frozen=True):
    """The instance has ended."""


class OfACopy(Carried, frozen=True):
    """An event of one shared copy."""

    copy: CopyKey
    load: Count


class OfTheTemplate(Carried, frozen=True):
    """An event of the node's template."""


class AdapterTierResized(Carried, frozen=True):
    carries = ev.AdapterTierResized
    nbytes: Count


class TemplateReady(OfTheTemplate, frozen=True):
    carries = ev.TemplateReady


class TemplateDied(OfTheTemplate, frozen=True):
    carries = ev.TemplateDied
    reason: Text


class InstanceStarted(Settled, frozen=True):
    carries = ev.InstanceStarted


class ArtifactLoaded(Settled, frozen=True, kw_only=True):
    carries = ev.ArtifactLoaded
    artifact: Artifact


class ArtifactsOffloaded(OfAnInstance, frozen=True):
    carries = ev.ArtifactsOffloaded


class AdapterLoaded(Settled, frozen=True, kw_only=True):
    carries = ev.AdapterLoaded
    function: Label


class AdapterFailed(OfAnInstance, frozen=True):
    carries = ev.AdapterFailed
    function: Label
    reason: Text


class InstanceStopped(Ended, frozen=True):
    carries = ev.InstanceStopped


class ProcessDied(Ended, frozen=True):
    carries = ev.ProcessDied
    reason: Text


class BackboneLoaded(OfACopy, frozen=True):
    carries = ev.BackboneLoaded


class BackboneFailed(OfACopy, frozen=True):
    carries = ev.BackboneFailed
    reason: Text


Event = (
    TemplateReady
    | TemplateDied
    | InstanceStarted
    | ArtifactLoaded
    | ArtifactsOffloaded
    | AdapterLoaded
    | AdapterFailed
    | AdapterTierResized
    | InstanceStopped
    | ProcessDied
    | BackboneLoaded
    | BackboneFailed
)
FromAgent = (
    AgentHello
    | Ready
    | Declined
    | Pong
    | IsolationGap
    | Problem
    | Memory
    | Metered
    | Audited
    | Tokens
    | Event
)

ACTIONS: tuple[type[Carried], ...] = Action.__args__
EVENTS: tuple[type[Carried], ...] = Event.__args__
_OF_CORE: Mapping[type, type[Carried]] = {each.carries: each for each in (*ACTIONS, *EVENTS)}


def of(item: Any) -> Carried:
    """Return the message for an action or an event."""
    return msgspec.convert(item, _OF_CORE[type(item)], from_attributes=True)
