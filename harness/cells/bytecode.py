"""Libraries that lie here without compiled bytecode: each new process then compiles them anew, so
that imports, and with them cold starts, take longer than they need (1.6 times, where it was seen:
a container image whose packages were installed with ``--no-compile``)."""

from __future__ import annotations

from importlib.util import cache_from_source, find_spec
from pathlib import Path

LIBRARIES = ("torch", "transformers", "peft")


def uncompiled() -> list[str]:
    """Names of those that this interpreter would compile."""
    found = []
    for name in LIBRARIES:
        spec = find_spec(name)
        if spec is not None and spec.origin and not Path(cache_from_source(spec.origin)).exists():
            found.append(name)
    return found


def warnings() -> tuple[str, ...]:
    """What a live run must say of its cold starts."""
    names = ", ".join(uncompiled())
    told = f"{names}: no bytecode here, so every new process compiles what it imports"
    return (told,) if names else ()
