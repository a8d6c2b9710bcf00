"""A cluster whose nodes take longer than the deployment's timeout is refused in a line that names
them and the option."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment
from systems.registry import system_class
from systems.runtime.links.address import ClusterAddress
from systems.serverless.live.cluster import launch
from systems.serverless.live.cluster.supervisor import AgentHandle, NodeSupervisor
from systems.serverless.live.start_messages import NodesReady, Orders, Preparing, StartFailed

ON_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


def supervisor(within_s: float, *joined: bool) -> NodeSupervisor:
    """Return a supervisor whose agents go on to prepare, unless they have ``joined``."""
    nodes = [
        {"Alive": True, "NodeID": f"n{number}", "Resources": {"CPU": 8.0}}
        for number in range(len(joined))
    ]
    ray: Any = SimpleNamespace(nodes=lambda: nodes, wait=lambda of, timeout: ([], of))
    orders = Orders("10.0.0.1:6379", "gateway", 1, "secret", "folder", within_s)
    handles = {
        f"n{number}": AgentHandle(f"node-{number}", None, None, None, each)
        for number, each in enumerate(joined)
    }
    return NodeSupervisor(ray, ClusterAddress.parse(orders.cluster), orders, handles)


def test_nodes_that_take_too_long_are_named_with_the_option() -> None:
    told = supervisor(1e-9, False, True, False).round()
    assert isinstance(told, StartFailed)
    assert "not in use within 1e-09 s: node-0, node-2; " in told.reason
    assert "nodes_timeout_s" in told.reason


def test_until_then_what_is_waited_for_is_told_now_and_then() -> None:
    waiting = supervisor(60.0, False, True)
    assert [waiting.round(), waiting.round()] == [Preparing("node-0"), None]
    waiting.tenures["n0"].joined = True
    assert [waiting.round(), waiting.round()] == [NodesReady(("node-0", "node-1")), None]


def refused(deployment: Deployment, **options: Any) -> str:
    """Deploy on one node; return the error, which leaves no process."""
    others = set(psutil.Process().children(recursive=True))
    changes = {"cluster": "local:1", "options": options}
    with pytest.raises(DeploymentError) as error:
        system_class("serverless-lora")().deploy(deployment.model_copy(update=changes))
    assert not set(psutil.Process().children(recursive=True)) - others
    return str(error.value)


@ON_RAY
@pytest.mark.live
def test_a_deployment_has_the_timeout_of_its_option(deployment: Deployment) -> None:
    told = refused(deployment, nodes_timeout_s=0.1)
    assert told.startswith("cluster local:1: not in use within 0.1 s: node-0; ")


@ON_RAY
@pytest.mark.live
def test_where_ray_does_not_start_it_says_so(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_SILENT_S", 0.05)
    told = refused(deployment)
    assert told.startswith(
        "the node supervisor was silent for 0.05 s while it waited for Ray to start; "
    )
