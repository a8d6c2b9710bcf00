"""What a process can be: its messages, its confinement and its code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .incoming import Incoming

if TYPE_CHECKING:
    from .channel import Channel


def unconfined(device: str) -> None:
    """For roles that read nothing of a tenant's."""


@dataclass(frozen=True, slots=True)
class Role:
    """``module`` is run to start a process of this role from nothing (see :func:`process.main`);
    ``says`` and ``hears`` are its messages to and from whoever started it; ``main`` returns the
    exit status. ``confine`` is called with the kind of device before ``main``, and raises
    ``ConfinementError``."""

    name: str
    module: str
    says: Incoming
    hears: Incoming
    main: Callable[[Channel], int]
    confine: Callable[[str], None] = unconfined


def by_name(*roles: Role) -> dict[str, Role]:
    """Raise ``ValueError`` where two roles have one name."""
    found = {role.name: role for role in roles}
    if len(found) < len(roles):
        raise ValueError(f"a role is named twice: {', '.join(role.name for role in roles)}")
    return found
