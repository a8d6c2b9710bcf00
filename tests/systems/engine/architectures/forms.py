"""The forms of adapters that are compared: all that the suite makes. After a change of these run
:mod:`.matrix`."""

from __future__ import annotations

from pathlib import Path

from systems.models import FORMS as FORMS
from systems.models import ensure_form

NONE = "no-adapter"
RANK = 8


def make_adapter(backbone: Path, form: str) -> Path:
    """Return the directory of a seeded adapter of a form, made once."""
    return ensure_form(backbone, [form], form, RANK)[form]
