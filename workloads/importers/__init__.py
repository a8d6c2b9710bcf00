"""Importers by name. A third party adds its own through the entry-point group
``slbench.importers``; the entry is a module or an object with the interface of
:class:`base.Importer`:

  [project.entry-points."slbench.importers"]
  my-format = "my_package.my_module"
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import cast

from ..errors import WorkloadError
from ..trace import Workload
from .base import Format, Importer, Options
from .files import head
from .named_columns import EXAMPLE

__all__ = ["GROUP", "Format", "Importer", "Options", "detect", "import_file", "importer", "names"]

GROUP = "slbench.importers"
OWN = "csv"
"""The format whose columns can be named."""

_SHIPPED = {
    "azure-functions-2019": "azure_functions_2019",
    "azure-functions-2021": "azure_functions_2021",
    "azure-llm": "azure_llm",
    "burstgpt": "burstgpt",
    "mooncake": "mooncake",
    "qwen-bailian": "qwen_bailian",
    "servegen": "servegen",
    "vidur": "vidur",
    "request-jsonl": "request_jsonl",
    "csv": "plain_csv",
}


def names() -> list[str]:
    """List all formats, including those of third parties."""
    return sorted({*_SHIPPED, *_added()})


def importer(name: str) -> Importer:
    """Return an importer by name. Raises ``WorkloadError``, which lists the known names or says why
    a third party's importer cannot be imported."""
    if name in _SHIPPED:
        return cast(Importer, import_module(f"{__name__}.{_SHIPPED[name]}"))
    if name not in (added := _added()):
        raise WorkloadError(f"format {name!r} is unknown; known: {', '.join(names())}")
    try:
        found = added[name].load()
    except (Exception, SystemExit) as error:
        # Third-party code: importing it may raise anything.
        why = f"{type(error).__name__}: {error}"
        raise WorkloadError(f"format {name!r} ({added[name].value}): {why}") from error
    missing = [each for each in ("FORMAT", "sniff", "read") if not hasattr(found, each)]
    if missing:
        raise WorkloadError(f"format {name!r} ({added[name].value}): lacks {', '.join(missing)}")
    return cast(Importer, found)


def detect(path: Path) -> str:
    """Return the only format whose importer recognises the file. Broken importers of third parties
    are skipped, and listed in the error if no other recognises it. Raises ``WorkloadError``."""
    start = head(path)
    if not start.strip():
        raise WorkloadError(f"{path}: is empty")
    found, broken = [], []
    for name in names():
        try:
            if importer(name).sniff(path, start):
                found.append(name)
        except Exception as error:
            broken.append(str(error))
    if not found:
        also = f"; broken: {'; '.join(broken)}" if broken else ""
        own = f"; a CSV of your own: slbench workloads import {EXAMPLE}, with its columns' names"
        raise WorkloadError(f"{path}: no known format; known: {', '.join(names())}{own}{also}")
    if len(found) > 1:
        raise WorkloadError(f"{path}: could be {' or '.join(found)}; name one with --format")
    return found[0]


def import_file(path: Path, options: Options | None = None, name: str | None = None) -> Workload:
    """Import a file of format ``name``, or of the detected format; with named columns, a CSV.
    Raises ``WorkloadError``."""
    given = options or Options()
    return importer(name or (OWN if given.columns else detect(path))).read(path, given)


def _added() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
