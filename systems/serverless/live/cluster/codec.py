"""Actions and events as JSON, field by field: what a node says is data and never code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from systems.runtime.channel import Message

from ...core import actions as act
from ...core import events as ev
from ..weights.auditing import Audit

ACTIONS: tuple[type, ...] = (
    act.StartTemplate,
    act.StartInstance,
    act.StopInstance,
    act.LoadArtifact,
    act.OffloadArtifacts,
    act.LoadBackbone,
    act.DropBackbone,
)
"""What a node can be asked to do."""

OF_INSTANCES = (
    ev.InstanceStarted,
    ev.ArtifactLoaded,
    ev.ArtifactsOffloaded,
    ev.InstanceStopped,
    ev.ProcessDied,
)
OF_COPIES = (ev.BackboneLoaded, ev.BackboneFailed)
EVENTS: tuple[type, ...] = (ev.TemplateReady, ev.TemplateDied, *OF_INSTANCES, *OF_COPIES)
"""What a node can tell."""

_ADAPTERS: Mapping[str, TypeAdapter[Any]] = {
    kind.__name__: TypeAdapter(kind) for kind in (*ACTIONS, *EVENTS, Audit)
}


def encode(item: Any) -> Message:
    name = type(item).__name__
    return {"type": name, "fields": _ADAPTERS[name].dump_python(item, mode="json")}


def decode(message: Message) -> Any:
    """``ValueError`` for what is none of these, nor an audit."""
    adapter = _ADAPTERS.get(message["type"])
    if adapter is None:
        raise ValueError(f"a node neither does nor tells {message['type']!r}")
    return adapter.validate_python(message["fields"])
