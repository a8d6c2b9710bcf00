"""The core's events as messages of an agent."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from systems.interface import Stage
from systems.runtime.links.message import Count, Label, Ns, Part, Text

from ...core import events as ev
from ...core.artifacts import Artifact, CopyKey
from .carried import Carried, converter

_MOST_SPANS = 1 << 16
_MOST_TIER_BYTES = 1 << 50
"""A PiB. The host memory of all nodes is counted together, up to 4 EiB."""
_MOST_START_NS = 600 * 10**9
"""Longer than any process takes to prepare. It teaches what every start of its backbone takes."""


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


class OfALoad(OfACopy, frozen=True):
    """An event of one loading of it."""

    load: Count


class OfTheTemplate(Carried, frozen=True):
    """An event of the node's template."""


class AdapterTierResized(Carried, frozen=True):
    carries = ev.AdapterTierResized
    nbytes: Annotated[int, Meta(ge=0, le=_MOST_TIER_BYTES)]


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
    prewarmed: bool = False


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


class BackboneLoaded(OfALoad, frozen=True):
    carries = ev.BackboneLoaded


class BackboneFailed(OfALoad, frozen=True):
    carries = ev.BackboneFailed
    reason: Text


class PrewarmedReady(OfACopy, frozen=True):
    carries = ev.PrewarmedReady
    ready: Count
    took_ns: Annotated[int, Meta(ge=0, le=_MOST_START_NS)] = 0


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
    | PrewarmedReady
)

EVENTS: tuple[type[Carried], ...] = Event.__args__
of = converter(EVENTS)
"""Makes the message for an event."""
