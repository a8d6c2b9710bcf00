"""Measures how much memory an object keeps: the sizes of all that can be reached from it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

_SHARED_BY_ALL = (type, ModuleType, FunctionType, BuiltinFunctionType)
"""Code. Following it would reach every module of the interpreter."""


def reachable_bytes(root: Any, without: Iterable[Any] = ()) -> int:
    """Return the bytes of ``root`` and all that it refers to, directly or not. ``without`` are
    objects that are not followed, such as the callbacks that lead to the surroundings."""
    seen = {id(each) for each in without}
    total, found = 0, [root]
    while found:
        each = found.pop()
        if id(each) in seen or isinstance(each, _SHARED_BY_ALL):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        found.extend(gc.get_referents(each))
    return total
