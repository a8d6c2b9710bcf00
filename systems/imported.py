"""Objects of third parties, named as ``package.module:attribute``."""

from __future__ import annotations

import importlib
from typing import Any


def imported(target: str) -> Any:
    """Import the object ``target``. Raise ``ImportError`` with the reason for any failure:
    third-party code may raise anything when it is imported."""
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise ImportError(f"{type(error).__name__}: {error}") from error
