"""The core's actions as messages to an agent."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from systems.runtime.links.message import Count, Label, Name

from ...core import actions as act
from ...core.artifacts import Artifact, CopyKey
from ..nodes import DeviceWork as NodeDeviceWork
from .carried import Carried, converter

Residents = Annotated[tuple[Artifact, ...], Meta(max_length=len(Artifact))]


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

ACTIONS: tuple[type[Carried], ...] = Action.__args__
of = converter(ACTIONS)
"""Makes the message for an action."""
