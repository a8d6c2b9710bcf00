"""Names of functions as systems can deploy them: letters, digits, dots, hyphens, underscores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..trace import TraceFunction
from .bad_rows import SHOWN

_OTHER = re.compile(r"[^A-Za-z0-9._-]|^\.+$")


def deployable(
    functions: Sequence[TraceFunction],
) -> tuple[tuple[TraceFunction, ...], dict[str, Any]]:
    """Return the functions with names that can be deployed, and the parameters of this step, empty
    if all names are left as they are. An underscore stands for each other character (an address or
    a path may be a function's name in a trace) and for a name of dots, and a number follows it
    where two names would be the same."""
    taken = {each.id for each in functions if each.id == _plain(each.id)}
    seen: Counter[str] = Counter()
    found, renamed = [], []
    for each in functions:
        name = each.id if each.id in taken else _free(_plain(each.id), taken, seen)
        if name != each.id:
            renamed.append(f"{each.id} → {name}")
        found.append(each.model_copy(update={"id": name}))
    return tuple(found), {"renamed": len(renamed), "first": renamed[:SHOWN]} if renamed else {}


def _plain(name: str) -> str:
    return _OTHER.sub("_", name)


def _free(base: str, taken: set[str], seen: Counter[str]) -> str:
    """Return ``base``, or with the first number that makes it a new name, and take it."""
    name = base
    while name in taken:
        seen[base] += 1
        name = f"{base}-{seen[base] + 1}"
    taken.add(name)
    return name
