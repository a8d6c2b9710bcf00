"""Earlier schemas, read as the current one: the names that changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ..errors import RecordError
from .schema import VERSION


@dataclass(frozen=True, slots=True)
class SchemaNames:
    """Names of a schema where the current one has others: current name → the schema's name."""

    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By table."""
    summary: Mapping[str, str] = field(default_factory=dict)
    """Top-level keys of ``summary.json``."""
    manifest: Mapping[str, str] = field(default_factory=dict)
    """Top-level keys of ``manifest.json``."""
    system: Mapping[str, str] = field(default_factory=dict)
    """Keys of the manifest's ``system``."""

    def stored_columns(self, table: str, columns: Sequence[str] | None) -> list[str] | None:
        """Give the names under which ``columns`` of ``table`` are stored; None (all) stays None."""
        known = self.columns.get(table, {})
        return None if columns is None else [known.get(each, each) for each in columns]

    def current_table(self, name: str, stored: pa.Table) -> pa.Table:
        """Give the stored table ``name`` with the current names of its columns."""
        current = _inverse(self.columns.get(name, {}))
        return stored.rename_columns([current.get(each, each) for each in stored.column_names])

    def current_summary(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Give a stored summary with the current names of its keys, in the stored order."""
        return _renamed(stored, self.summary)

    def current_manifest(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Give a stored manifest with the current names of its keys, in the stored order."""
        found = _renamed(stored, self.manifest)
        if isinstance(found.get("system"), Mapping):
            found["system"] = _renamed(found["system"], self.system)
        return found


def _renamed(stored: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    current = _inverse(names)
    return {current.get(key, key): value for key, value in stored.items()}


def _inverse(names: Mapping[str, str]) -> dict[str, str]:
    return {stored: current for current, stored in names.items()}


SCHEMAS: Mapping[int, SchemaNames] = {
    1: SchemaNames(
        columns={"requests": {"start_type": "temperature"}},
        summary={"ttft_by_start_type": "ttft_by_temperature"},
        manifest={"warnings": "doubts"},
        system={"isolation_gaps": "exposures"},
    ),
    VERSION: SchemaNames(),
}
"""Every schema that is read, by its number."""


def names_of(schema: Any) -> SchemaNames:
    """Give the names of the schema that a manifest states. ``RecordError`` for one that this code
    does not read."""
    if type(schema) is not int or schema not in SCHEMAS:
        known = " and ".join(map(str, sorted(SCHEMAS)))
        raise RecordError(f"schema {schema}; this code knows {known}")
    return SCHEMAS[schema]
