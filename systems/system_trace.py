"""Validates the system trace that a system returns, before it is used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from systems.errors import SystemTraceError
from systems.interface import SystemTrace

_PARTS = ("requests", "memory", "activity", "processor", "decisions", "nodes", "node_memory")


def check(system_trace: SystemTrace, source: str) -> SystemTrace:
    """Return ``system_trace`` unchanged. Raise :class:`SystemTraceError`, naming ``source`` and the
    first item with a wrong type, a number beyond 64 bits, or an end before its start."""
    for place, item in _items(system_trace):
        reason = _mistake(item)
        if reason:
            raise SystemTraceError(f"{source}: system trace: {place}.{reason}")
    for name, value in system_trace.measured.items():
        if type(value) not in (int, float) or not math.isfinite(value):
            raise SystemTraceError(
                f"{source}: system trace: measured.{name}: {value!r} is no number"
            )
    return system_trace


def _items(system_trace: SystemTrace) -> Iterator[tuple[str, Any]]:
    for part in _PARTS:
        yield from _numbered(part, getattr(system_trace, part))
    for index, request in enumerate(system_trace.requests):
        yield from _numbered(f"requests[{index}].spans", request.spans)


def _numbered(name: str, items: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for index, item in enumerate(items):
        yield f"{name}[{index}]", item


def _mistake(item: Any) -> str:
    """Describe what is wrong with ``item``; empty if nothing is."""
    values = {field.name: getattr(item, field.name) for field in fields(item)}
    try:
        _model(item.__class__).model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if values.get("start_ns", 0) > values.get("end_ns", math.inf):
        return "end_ns: is before start_ns"
    return ""


@cache
def _model(kind: type) -> type[BaseModel]:
    """Return a strict pydantic model with the fields of the dataclass ``kind``."""
    hints: dict[str, Any] = {
        name: (hint, ...) for name, hint in get_type_hints(kind, include_extras=True).items()
    }
    return create_model(kind.__name__, __config__=ConfigDict(strict=True), **hints)
