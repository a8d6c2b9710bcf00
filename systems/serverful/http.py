"""HTTP requests to a server other than completions: its models, version and metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http.client import HTTPException, IncompleteRead
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from ..errors import DeploymentError, UnreachableError

_TIMEOUT_S = 10.0
MOST_BYTES = 16 << 20
"""Bytes of the longest answer that is read: metrics of a thousand models are a few MB."""
_URL = re.compile(r"https?://[^/:?#\s]")


def checked_url(url: str) -> str:
    """Return ``url`` unchanged. Raise ``ValueError`` if it does not name an HTTP server."""
    if not _URL.match(url):
        raise ValueError(f"URL {url!r}: write http://host:port or https://host")
    return url


def fetch(url: str, headers: Mapping[str, str] | None = None) -> str:
    """Return the text at ``url``. Raise ``UnreachableError`` if no server responds, and
    ``DeploymentError`` with the status if the server rejects the request, or if its answer
    is longer than ``MOST_BYTES``."""
    return _answer(url, None, headers or {}, _TIMEOUT_S)


def _answer(url: str, content: bytes | None, headers: Mapping[str, str], timeout_s: float) -> str:
    try:
        asked = Request(url, content, dict(headers))
        with urlopen(asked, timeout=timeout_s) as response:
            raw: bytes = response.read(MOST_BYTES + 1)
            if len(raw) <= MOST_BYTES and response.length:
                raise IncompleteRead(raw, response.length)
    except HTTPError as error:
        raise DeploymentError(f"{url}: HTTP {error.code} {error.reason}") from error
    except (OSError, ValueError, HTTPException) as error:
        why = getattr(error, "reason", error)
        raise UnreachableError(f"{url}: no HTTP server answers ({why})") from error
    if len(raw) > MOST_BYTES:
        raise DeploymentError(f"{url}: an answer of more than {MOST_BYTES >> 20} MiB")
    return raw.decode("utf-8", "replace")


def complete(base_url: str, body: Mapping[str, Any], timeout_s: float) -> None:
    """Have the server answer a completion request, whatever it says. Raises as :func:`fetch`."""
    content = json.dumps({"temperature": 0, "stream": True, **body}).encode()
    headers = {"Content-Type": "application/json"}
    _answer(f"{base_url}/v1/completions", content, headers, timeout_s)


def get(url: str, headers: Mapping[str, str] | None = None) -> str | None:
    """Return the text at ``url``; None if no server responds or the request is rejected."""
    try:
        return fetch(url, headers)
    except DeploymentError:
        return None


def answers(base_url: str, headers: Mapping[str, str] | None = None) -> bool:
    """Whether an HTTP server responds there, with any status."""
    try:
        fetch(f"{base_url}/v1/models", headers)
    except UnreachableError:
        return False
    except DeploymentError:
        return True
    return True


def list_models(base_url: str, headers: Mapping[str, str] | None = None) -> frozenset[str]:
    """Return the model names that the server lists. Raises as :func:`fetch`, and
    ``DeploymentError`` if the response is not a list of models."""
    url = f"{base_url}/v1/models"
    text = fetch(url, headers)
    try:
        content: Any = json.loads(text)
        return frozenset(str(model["id"]) for model in content["data"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DeploymentError(f"{url}: the answer is not a list of models") from error


def served_models(base_url: str, headers: Mapping[str, str] | None = None) -> frozenset[str] | None:
    """Return the model names that the server lists; None if it lists none."""
    try:
        return list_models(base_url, headers)
    except DeploymentError:
        return None
