"""What several servers hold at once adds up."""

from __future__ import annotations

from systems.interface import MemoryOwner, MemoryStep
from systems.serverful.memory import together


def step(at: int, size: int, device: str = "host", function: str | None = None) -> MemoryStep:
    return MemoryStep(at, device, MemoryOwner.OTHER, function, size)


def test_what_several_servers_hold_for_the_same_functions_adds_up() -> None:
    one = [step(1, 10), step(4, 12), step(6, 0)]
    other = [step(2, 20), step(3, 5, "cuda:1"), step(3, 7, function="f0"), step(5, 20)]
    found = [
        (each.t_ns, each.device, each.function_id, each.bytes) for each in together([one, other])
    ]
    assert found == [
        (1, "host", None, 10), (2, "host", None, 30), (3, "cuda:1", None, 5), (3, "host", "f0", 7),
        (4, "host", None, 32), (5, "host", None, 32), (6, "host", None, 20),
    ]  # fmt: skip
