"""What is asked of a server beside its completions: what it serves, its version, its metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from ..errors import DeploymentError, UnreachableError

_TIMEOUT_S = 10.0
_URL = re.compile(r"https?://[^/:?#\s]")


def checked_url(url: str) -> str:
    """``url`` as it is. ``ValueError`` where it does not name an HTTP server."""
    if not _URL.match(url):
        raise ValueError(f"URL {url!r}: write http://host:port or https://host")
    return url


def fetch(url: str, headers: Mapping[str, str] | None = None) -> str:
    """The text at ``url``. ``UnreachableError`` where nothing answers, ``DeploymentError`` with the
    status where it is refused."""
    try:
        with urlopen(Request(url, headers=dict(headers or {})), timeout=_TIMEOUT_S) as response:
            text: str = response.read().decode("utf-8", "replace")
            return text
    except HTTPError as error:
        raise DeploymentError(f"{url}: HTTP {error.code} {error.reason}") from error
    except (OSError, ValueError, HTTPException) as error:
        why = getattr(error, "reason", error)
        raise UnreachableError(f"{url}: no HTTP server answers ({why})") from error


def get(url: str, headers: Mapping[str, str] | None = None) -> str | None:
    """The text at ``url``; None where nothing answers, or not with it."""
    try:
        return fetch(url, headers)
    except DeploymentError:
        return None


def answers(base_url: str, headers: Mapping[str, str] | None = None) -> bool:
    """Whether somebody speaks HTTP there, be it to refuse."""
    try:
        fetch(f"{base_url}/v1/models", headers)
    except UnreachableError:
        return False
    except DeploymentError:
        return True
    return True


def list_models(base_url: str, headers: Mapping[str, str] | None = None) -> frozenset[str]:
    """Names that the server lists. Raises what :func:`fetch` does, and ``DeploymentError`` where
    what it answers is no list of models."""
    url = f"{base_url}/v1/models"
    text = fetch(url, headers)
    try:
        content: Any = json.loads(text)
        return frozenset(str(model["id"]) for model in content["data"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DeploymentError(f"{url}: the answer is not a list of models") from error


def served_models(base_url: str, headers: Mapping[str, str] | None = None) -> frozenset[str] | None:
    """Names that the server lists; None where it lists none."""
    try:
        return list_models(base_url, headers)
    except DeploymentError:
        return None
