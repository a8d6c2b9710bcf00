"""docs/policies.md: the seams of a serverless system and the policies of each."""

from __future__ import annotations

import inspect
from typing import Any

from systems.serverless.core.policies.registry import SEAMS, Seam

from .markdown import prose, table

_HEAD = """# The policies

Generated from `systems/serverless/core/policies` by `python -m harness.manual`. A serverless system
is a choice of one policy at each of these seams. An experiment replaces some with
`policies: {SEAM: NAME}`, and [your-policy.md](your-policy.md) says how to write one.
`slbench systems show NAME` prints those of a system.
"""
_HEADS = ("policy", "what it does")


def policies() -> str:
    return "".join([_HEAD, *map(_section, SEAMS.values())])


def _section(seam: Seam[Any]) -> str:
    rows = [(f"`{name}`", _about(seam.find(name))) for name in seam.names]
    return f"\n## {seam.name}\n\n{table(_HEADS, rows)}"


def _about(policy: type) -> str:
    """Return the first paragraph of the docstring."""
    return prose((inspect.getdoc(policy) or "").partition("\n\n")[0])
