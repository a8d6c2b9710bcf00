"""Which of the instances that hold an adapter a request is offered to."""

from __future__ import annotations

from systems.serverless.core.adapter_index import AdapterIndex
from systems.serverless.core.artifacts import CopyKey
from systems.serverless.core.instance import Instance
from systems.serverless.core.waiting import WaitingRequests

from .machine import cluster


def index_of(count: int) -> AdapterIndex:
    """Return the index of ``count`` idle instances that all hold the adapter of f0."""
    spec = cluster(functions=2, places=1)
    index = AdapterIndex(WaitingRequests(), ())
    for number in range(count):
        group = spec.groups[spec.functions["f0"].group]
        instance = Instance(number, group, "cpu:0", CopyKey("b0", "cpu:0"), forked=True)
        index.joined(instance)
        index.holds(instance, "f0")
    return index


def test_of_few_holders_the_first_are_offered_each_time() -> None:
    index = index_of(32)
    for _ in range(2):
        assert [each.id for each in index.offered("f0")] == list(range(8))
    assert index.offered("f1") == []


def test_of_many_holders_the_next_are_offered_each_time() -> None:
    """32 are looked at, from the one after the last; the eight least busy of them are offered."""
    index = index_of(70)
    first = [[each.id for each in index.offered("f0")] for _ in range(4)]
    assert first[0] == list(range(8))
    assert first[1] == list(range(32, 40))
    assert first[2] == list(range(8)), "64 to 69 and 0 to 25, sorted by their work"
    assert first[3] == list(range(26, 34))
