"""How a local Ray is started."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from systems.runtime.links.address import ClusterAddress
from systems.runtime.links.rays import connect


class Ray:
    """Notes the token that each start is told."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def init(self, **settings: Any) -> None:
        assert os.environ["RAY_AUTH_MODE"] == "token"
        self.tokens.append(os.environ["RAY_AUTH_TOKEN"])


def test_a_process_starts_several_with_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray reads the token once; with another, its second start in a process failed."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED", "RAY_COLOR_PREFIX"):
        monkeypatch.setenv(name, "")
    ray = Ray()
    monkeypatch.setitem(sys.modules, "ray", ray)
    for nodes in (1, 2):
        connect(ClusterAddress.parse(f"local:{nodes}"), "/nowhere", nodes)
    first, second = ray.tokens
    assert first == second
    assert len(first) == 64
