"""How often the host waits for the device while it copies, without a device."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch

from systems.engine.cuda.staging import Staging, moved


@dataclass
class Events:
    """What was recorded and waited for, by buffer, in order."""

    log: list[tuple[str, int]] = field(default_factory=list)

    @property
    def waits(self) -> list[int]:
        return [buffer for what, buffer in self.log if what == "wait"]


@dataclass
class Read:
    events: Events
    buffer: int

    def record(self) -> None:
        self.events.log.append(("record", self.buffer))

    def synchronize(self) -> None:
        self.events.log.append(("wait", self.buffer))


def staging(size: int) -> tuple[Staging, Events]:
    events = Events()
    buffers = [torch.empty(size, dtype=torch.uint8) for _ in range(2)]
    return Staging(buffers, [Read(events, 0), Read(events, 1)]), events


def test_small_copies_share_a_buffer_and_wait_once_for_each() -> None:
    copies, events = staging(64)
    sources = [torch.full((16,), number, dtype=torch.uint8) for number in range(20)]
    targets = [torch.zeros(16, dtype=torch.uint8) for _ in sources]
    for target, source in zip(targets, sources, strict=True):
        copies.copy(target, [source])
    assert all(torch.equal(*pair) for pair in zip(targets, sources, strict=True))
    assert events.waits == [1, 0, 1, 0], "20 copies of a quarter of a buffer"


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
def test_large_copies_arrive_whole_and_no_buffer_is_filled_while_it_is_read(size: int) -> None:
    copies, events = staging(64)
    for seed in range(3):
        source = torch.randint(256, (size,), generator=torch.Generator().manual_seed(seed))
        target = torch.zeros(size, dtype=torch.uint8)
        copies.copy(target, [source.to(torch.uint8)])
        assert torch.equal(target, source.to(torch.uint8))
    before: int | None = None
    for what, buffer in events.log:
        if buffer != before:
            assert what == "wait" or before is None, "another buffer is filled only after a wait"
        before = buffer


def test_many_tensors_are_copied_a_buffer_at_a_time() -> None:
    copies, events = staging(64)
    sources = [torch.full((10,), number, dtype=torch.uint8) for number in range(20)]
    target = torch.zeros(200, dtype=torch.uint8)
    copies.copy(target, sources)
    assert torch.equal(target, torch.cat(sources))
    assert [what for what, _ in events.log].count("record") == 4, "200 bytes are four buffers"


def test_what_is_moved_has_the_same_values_and_shapes() -> None:
    turned = torch.arange(12, dtype=torch.float16).view(3, 4).t()
    groups = [
        [turned, turned + 1],
        [torch.rand(5)],
        [torch.tensor([1], dtype=torch.uint8)],
        [torch.rand(2, 3) for _ in range(3)],
    ]
    there = moved(groups, torch.device("cpu"))
    assert all(
        torch.equal(stack, torch.stack(each)) for stack, each in zip(there, groups, strict=True)
    )
    assert [each.dtype for each in there] == [each[0].dtype for each in groups]
