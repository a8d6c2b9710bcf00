"""The sandbox of an instance on a card, in its three steps. The measures need no card: on a machine
without one, the engine between the second and the third step runs on cores."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from systems.models import ensure_backbone
from systems.runtime.channel import Channel
from systems.runtime.sandbox import control_group, landlock, measures

from .attackers import REFUSALS, Attacker, Sides, fork_of, running_template
from .attacks import BUDGET, FREE, INSTANCE, SECRET

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

TESTS = Path(__file__).parents[3]
"""Also read by attackers, for what they compute."""

sees_less = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")

FROM_THE_FUNCTION_ON = (
    "internet",
    "internet from a child",
    "trace",
    "memory file",
    "memory call",
    "their environment",
    "their descriptors",
    "program",
    "fork",
    "signal",
    "their limits",
    "their cores",
    "their priority",
    "signals by descriptor",
    "outlive",
    "take a memory file",
)
"""Refused before anything of a tenant's is read."""
FROM_THE_ENGINE_ON = "unix socket"
"""Refused once the driver has started: until then it makes one, which it does not connect."""
ON_FILES = ("set user id", "open to all", "give away", "change times", "attach")


@pytest.fixture(scope="module")
def template() -> Iterator[tuple[int, Channel]]:
    with running_template("cuda") as found:
        yield found


@pytest.fixture(scope="module")
def settled(
    template: tuple[int, Channel], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sides]:
    """Instances that know their function, and two without a sandbox."""
    adapters = tmp_path_factory.mktemp("mine"), tmp_path_factory.mktemp("theirs")
    for folder in adapters:
        (folder / "adapter").write_text(folder.name, encoding="utf-8")
    first, second, *free = (
        fork_of(template[1], role, "cuda") for role in (INSTANCE, INSTANCE, FREE, FREE)
    )
    for attacker, own in zip((first, second), adapters, strict=True):
        paths = [str(own), str(ensure_backbone("tiny")), str(TESTS)]
        assert attacker.tries("settle in", {"device": "cuda", "own": paths}) == {"got": None}
    for attacker in free:
        attacker.tries("be open")
    yield Sides((first, second), (free[0], free[1]), adapters)
    for attacker in (first, second, *free):
        attacker.channel.close()


@pytest.fixture(scope="module")
def prepared(settled: Sides) -> Sides:
    """The same instances, once the first has an engine. Tests that ask for it come after those of
    ``settled``."""
    about = {"device": DEVICE, "measures": "cuda"}
    assert settled.confined[0].tries("start computing", about) == {"got": None}
    return settled


def refused(attacker: Attacker, attack: str, on: dict[str, Any]) -> bool:
    return attacker.tries(attack, on).get("refused") in REFUSALS


@pytest.mark.parametrize("attack", FROM_THE_FUNCTION_ON)
def test_it_reaches_no_other_process_from_its_function_on(attack: str, settled: Sides) -> None:
    assert settled.refused(attack)


def test_the_memory_of_the_template_is_refused(
    settled: Sides, template: tuple[int, Channel]
) -> None:
    about = {"pid": template[0], "address": 0}
    assert settled.confined[0].tries("memory file", about) == {"refused": "EACCES"}


def test_without_a_sandbox_the_memory_of_another_is_read(settled: Sides) -> None:
    attacker, victim = settled.free
    for attack in ("memory file", "memory call"):
        assert attacker.tries(attack, victim.about) == {"got": SECRET.value.decode()}


@pytest.mark.parametrize("attack", ON_FILES)
def test_modes_owners_times_and_attributes_stay_as_they_are(
    attack: str, settled: Sides, tmp_path: Path
) -> None:
    for name in ("confined", "free"):
        (tmp_path / name).write_text("secret", encoding="utf-8")
    assert refused(settled.confined[0], attack, {"path": str(tmp_path / "confined")})
    assert "got" in settled.free[0].tries(attack, {"path": str(tmp_path / "free")})


def test_before_its_engine_is_built_a_unix_socket_connects_to_nobody(
    settled: Sides, tmp_path: Path
) -> None:
    """The start of a context needs a socket (see ``system_calls.BEFORE_A_CONTEXT``)."""
    with socket.socket(socket.AF_UNIX) as service:
        service.bind(str(tmp_path / "service"))
        service.listen()
        assert settled.refused("connect", {"path": str(tmp_path / "service")})


@sees_less
def test_the_files_of_others_are_neither_read_nor_written(settled: Sides, tmp_path: Path) -> None:
    mine, theirs = settled.adapters
    there = tmp_path / "tokens.toml"
    there.write_text("secret", encoding="utf-8")
    attacker, _ = settled.confined
    assert attacker.tries("read", {"path": str(mine / "adapter")}) == {"got": mine.name}
    for path in (theirs / "adapter", there):
        assert settled.refused("read", {"path": str(path)})
    for path in (theirs, Path("/proc"), Path("/home")):
        assert settled.refused("list", {"path": str(path)})
    for path in (there, tmp_path / "new", mine / "adapter"):
        assert refused(attacker, "write", {"path": str(path)})
    assert refused(attacker, "remove", {"path": str(there)})
    assert there.read_text(encoding="utf-8") == "secret"


def test_descriptors_end_at_a_bound_that_cannot_be_raised(settled: Sides) -> None:
    attacker, _ = settled.confined
    assert attacker.tries("exhaust descriptors")["got"] < measures.MAX_DESCRIPTORS
    assert attacker.tries("more descriptors") == {"refused": "EPERM"}


@pytest.mark.skipif(
    not control_group.available(), reason="no control group (version 2) bounds memory here"
)
def test_its_host_memory_is_bounded_by_a_control_group_of_its_own(settled: Sides) -> None:
    """What the kernel does at the bound: ``test_control_group.py``."""
    for attacker in settled.confined:
        group = control_group.of(attacker.about["pid"])
        assert str(attacker.about["pid"]) in (group / "cgroup.procs").read_text().split()
        bound = int((group / "memory.max").read_text())
        assert bound == measures.LIBRARY_SPACE + BUDGET


@pytest.mark.parametrize("attack", [*FROM_THE_FUNCTION_ON, FROM_THE_ENGINE_ON])
def test_it_reaches_no_other_process_once_it_has_an_engine(attack: str, prepared: Sides) -> None:
    assert prepared.refused(attack)


def test_it_computes_within_all_measures(prepared: Sides) -> None:
    """Graphs are captured, requests served, memory taken, and the engine is built again."""
    steps = prepared.confined[0].tries("go on computing")
    assert steps == {"got": ["graphs", "requests", "memory", "another adapter", "engine again"]}
