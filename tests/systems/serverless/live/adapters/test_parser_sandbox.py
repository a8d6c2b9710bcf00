"""A parser that its file has taken over reaches nothing but this file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from systems.runtime.roles import Role
from systems.runtime.sandbox import landlock
from systems.serverless.live.adapters.messages import ParseAdapter
from systems.serverless.live.adapters.tier import AdapterTier

from . import flawed
from .conftest import Forks, use

sees_less = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
Request = Callable[[str], ParseAdapter]


@pytest.fixture
def attack(
    forks: Forks, folders: dict[str, Path], request_of: Request
) -> Callable[[Role, dict[str, Any]], dict[str, Any]]:
    """Have the parser of f1 make attacks; return their outcomes."""

    def run(role: Role, orders: dict[str, Any]) -> dict[str, Any]:
        (folders["f1"] / flawed.ORDERS).write_text(json.dumps(orders), encoding="utf-8")
        found: list[bytes | str] = []

        async def scene() -> None:
            tier = AdapterTier(request_of, forks.of(role), 0)
            found.append(await use(tier, "f1"))
            tier.close()

        forks.play(scene())
        assert isinstance(found[0], str)
        outcomes: dict[str, Any] = json.loads(found[0].partition(" cannot be used: ")[2])
        return outcomes

    return run


Attack = Callable[[Role, dict[str, Any]], dict[str, Any]]


def _are_refused(attack: Attack, orders: dict[str, Any]) -> bool:
    """Whether all are refused to a parser; asserts that all work without its sandbox."""
    free = attack(flawed.FREE, orders)
    assert all("got" in outcome for outcome in free.values()), free
    found = attack(flawed.ATTACKING, orders)
    assert found.keys() == orders.keys()
    return all(outcome.get("refused") in {"EPERM", "EACCES"} for outcome in found.values())


@sees_less
def test_a_parser_reads_no_other_adapter_and_writes_no_file(
    attack: Attack, folders: dict[str, Path]
) -> None:
    other = folders["f0"]
    (other / "secret").write_text("of another tenant", encoding="utf-8")
    read, listed = {"path": str(other / "secret")}, {"path": str(other)}
    written = {"path": str(folders["f1"] / "new")}
    assert _are_refused(attack, {"read": read, "list": listed, "write": written})


def test_a_parser_reaches_no_network_program_or_process(attack: Attack) -> None:
    orders = {name: {} for name in ("internet", "unix socket", "program", "fork")}
    assert _are_refused(attack, {**orders, "take a memory file": {}})


def test_a_parser_cannot_make_its_memory_file_larger(attack: Attack, request_of: Request) -> None:
    """Its pages count for no process, so no bound on the parser's memory would end this."""
    grow = {"grow": {"nbytes": request_of("f1").nbytes}}
    assert attack(flawed.ATTACKING, grow) == {"grow": {"refused": "EPERM"}}


def test_a_parser_cannot_take_more_memory_than_parsing_needs(attack: Attack) -> None:
    assert "got" in attack(flawed.FREE, {"take memory": {}})["take memory"]
    found = attack(flawed.ATTACKING, {"take memory": {}})
    assert found == {"take memory": {"refused": "ENOMEM"}}
