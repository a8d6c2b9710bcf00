"""What is asked of a server beside its completions: what it serves, its version, its metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

_TIMEOUT_S = 10.0


def get(url: str, headers: Mapping[str, str] | None = None) -> str | None:
    """The text at ``url``; None where nobody answers, or not with it."""
    try:
        with urlopen(Request(url, headers=dict(headers or {})), timeout=_TIMEOUT_S) as response:
            text: str = response.read().decode("utf-8", "replace")
            return text
    except (OSError, ValueError):
        return None


def answers(base_url: str, headers: Mapping[str, str] | None = None) -> bool:
    """Whether somebody speaks HTTP there, be it to refuse."""
    try:
        urlopen(Request(f"{base_url}/v1/models", headers=dict(headers or {})), timeout=_TIMEOUT_S)
    except HTTPError:
        return True
    except (URLError, OSError, ValueError):
        return False
    return True


def served_models(base_url: str, headers: Mapping[str, str] | None = None) -> frozenset[str] | None:
    """Names that the server lists; None where it lists none."""
    try:
        content: Any = json.loads(get(f"{base_url}/v1/models", headers) or "")
        return frozenset(str(model["id"]) for model in content["data"])
    except (ValueError, KeyError, TypeError):
        return None
