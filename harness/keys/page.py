"""docs/keys.md: every key of an experiment file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .listing import PLACES, Key, keys

_HEAD = """# The keys of an experiment file

Generated from the models by `python -m harness.keys`. A file must have the *required* keys.
`slbench experiments check FILE` says what is wrong with a file, and `slbench experiments show NAME`
shows all keys of an experiment with their values. [experiments.md](experiments.md) explains labels
and sweeps. The section `simulated`, a mapping of these keys, overrides them in simulated mode.
`slbench systems show NAME` lists the options and policies of a system, [workloads.md](workloads.md)
the overrides of a workload.
"""
_TITLES = {
    "": "An experiment",
    "systems[].": "Each of `systems`",
    "workloads[].": "Each of `workloads`",
    "deployment.": "`deployment`",
    "deployment.limits.": "`deployment.limits`",
}
_NONE = re.compile(r"\bNone\b")
_MARKUP = re.compile(r"``(.+?)``")


def page() -> str:
    found = list(keys())
    return "".join([_HEAD, *(_section(above, found) for above in PLACES)])


def _section(above: str, found: list[Key]) -> str:
    mine = [key for key in found if key.path.removeprefix(above).isidentifier()
            and key.path.startswith(above)]  # fmt: skip
    rows = "\n".join(_rows(mine, above))
    head = "| key | type | default | unit | what |\n|---|---|---|---|---|"
    return f"\n## {_TITLES[above]}\n\n{head}\n{rows}\n"


def _rows(found: list[Key], above: str) -> Iterator[str]:
    for key in found:
        default = "*required*" if key.required else f"`{key.default}`" if key.default else ""
        cells = (f"`{key.path.removeprefix(above)}`", key.kind, default, key.unit, key.about)
        yield f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Format for a table, with YAML's word for None."""
    text = _NONE.sub("`null`", _MARKUP.sub(r"`\1`", text))
    return text.replace("|", "\\|")
