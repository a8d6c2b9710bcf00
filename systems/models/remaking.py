"""Makes again, on another machine, an adapter from its path in the cache."""

from __future__ import annotations

from pathlib import Path

from systems.errors import AdapterError

from .adapters import remake_seeded
from .skills import reinstall_skill


def remake_adapter(made: Path, backbone_dir: Path) -> Path:
    """Return this machine's copy, for ``backbone_dir``, of the adapter that was made at ``made``,
    maybe on another machine. ``AdapterError`` if nothing here makes the same."""
    for remake in (remake_seeded, reinstall_skill):
        found = remake(made, backbone_dir)
        if found is not None:
            return found
    raise AdapterError(
        f"adapter {made}: neither made from a seed nor a skill of this version;"
        " copy it to the same place"
    )
