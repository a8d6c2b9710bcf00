"""Actions and events of the core as messages between the gateway and an agent.

A message has the name of its action or event, and bounds: a converter makes the message, ``core``
converts it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import msgspec

from systems.runtime.links.message import Message


class Carried(Message, frozen=True):
    """Base class of a message with an action or event of the core, of type ``carries``."""

    carries: ClassVar[type]

    def core(self) -> Any:
        return msgspec.convert(self, self.carries, from_attributes=True)


def converter(kinds: Iterable[type[Carried]]) -> Callable[[Any], Carried]:
    """Return the function that makes the message, one of ``kinds``, for an action or an event."""
    by_core = {kind.carries: kind for kind in kinds}

    def of(item: Any) -> Carried:
        return msgspec.convert(item, by_core[type(item)], from_attributes=True)

    return of
