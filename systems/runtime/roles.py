"""The role of a process: its messages, its sandbox and its code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .incoming import Incoming

if TYPE_CHECKING:
    from .channel import Channel


def unconfined(device: str) -> None:
    """No sandbox, for roles that read no data of a tenant."""


@dataclass(frozen=True, slots=True)
class Role:
    """``module`` starts this role in a new interpreter (see :func:`process.main`). ``says`` and
    ``hears`` define the messages to and from the process that started it. ``main`` returns the exit
    status. ``confine`` is called before ``main`` with the kind of device, and raises
    ``ConfinementError``."""

    name: str
    module: str
    says: Incoming
    hears: Incoming
    main: Callable[[Channel], int]
    confine: Callable[[str], None] = unconfined


def by_name(*roles: Role) -> dict[str, Role]:
    """Index roles by name. Raise ``ValueError`` if two have the same name."""
    found = {role.name: role for role in roles}
    if len(found) < len(roles):
        raise ValueError(f"a role is named twice: {', '.join(role.name for role in roles)}")
    return found
