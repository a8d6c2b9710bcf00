"""Which machines the node supervisor starts agents on if nodes have GPUs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from systems.runtime.links.address import ClusterAddress
from systems.serverless.live.cluster.supervisor import NodeSupervisor
from systems.serverless.live.start_messages import Orders, StartFailed

RESOURCES = ({"CPU": 8.0, "GPU": 4.0}, {"CPU": 8.0}, {"CPU": 8.0, "GPU": 2.0})


def supervisor(cluster: str, gpus: int) -> NodeSupervisor:
    nodes = [
        {"Alive": True, "NodeID": f"n{number}", "Resources": each}
        for number, each in enumerate(RESOURCES)
    ]
    ray: Any = SimpleNamespace(nodes=lambda: nodes)
    orders = Orders(cluster, "gateway", 1, "secret", "folder", 60.0, gpus)
    return NodeSupervisor(ray, ClusterAddress.parse(cluster), orders)


@pytest.mark.parametrize(
    ("cluster", "gpus", "expected"),
    [
        ("10.0.0.1:6379", 0, ["n0", "n1", "n2"]),
        ("10.0.0.1:6379", 2, ["n0", "n2"]),
        ("10.0.0.1:6379", 4, ["n0"]),
        ("local:2", 2, ["n0", "n0"]),
        ("local:3", 2, []),
    ],
)
def test_a_node_is_a_machine_with_its_gpus(cluster: str, gpus: int, expected: list[str]) -> None:
    assert [slot.node_id for slot in supervisor(cluster, gpus)._places()] == expected


def test_a_cluster_without_them_is_refused_in_a_line() -> None:
    told = supervisor("local:3", 2).round()
    assert isinstance(told, StartFailed)
    assert told.reason == "cluster: no machine has the 6 GPUs of its nodes, as Ray sees"
