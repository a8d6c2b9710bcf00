"""The generated pages by their place in the checkout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from .commands import commands
from .experiments import experiments
from .kinds import workload_kinds
from .policies import policies

PAGES: Mapping[str, Callable[[], str]] = {
    "docs/cli.md": commands,
    "docs/shipped-experiments.md": experiments,
    "docs/policies.md": policies,
    "docs/workload-kinds.md": workload_kinds,
}


def written(root: Path) -> dict[Path, str]:
    """Return the text of each generated page of the checkout at ``root``."""
    return {root / place: page() for place, page in PAGES.items()}
