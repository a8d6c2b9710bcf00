"""Messages between gateway and node, and the models of a node; no process is started."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from systems.errors import DeploymentError, SystemsError
from systems.interface import Deployment, Device, Function, Isolation, Span, Stage
from systems.models import cache_root, ensure_adapters
from systems.runtime.links.address import ClusterAddress
from systems.runtime.links.message import Message, decoder, encode
from systems.runtime.links.offset import ClockOffset
from systems.runtime.messages import Cancel
from systems.serverless.core import actions as act
from systems.serverless.core import events as ev
from systems.serverless.core.artifacts import Artifact, CopyKey
from systems.serverless.core.cluster_spec import HOST
from systems.serverless.live.cluster import action_messages as actions
from systems.serverless.live.cluster import event_messages as events
from systems.serverless.live.cluster import messages as msg
from systems.serverless.live.cluster import models
from systems.serverless.live.cluster.registry import offer_of
from systems.serverless.live.cluster.remote import RemoteNode
from systems.serverless.live.messages import Prefilled
from systems.serverless.live.nodes import DeviceWork, Provisioned
from systems.serverless.live.plan import make_plan
from systems.serverless.live.weights.auditing import Audit, Sum

COPY = CopyKey("tiny", "node-0/cpu:0")
OF_THE_HOST = (ev.TemplateReady, ev.TemplateDied, ev.AdapterTierResized)
STARTS = act.StartInstance(3, "f0", "node-0/cpu:0", forked=True)
ACTIONS = [
    act.StartTemplate("node-0"),
    STARTS,
    act.LoadArtifact(3, Artifact.BACKBONE, COPY),
    act.LoadArtifact(3, Artifact.BACKBONE, COPY._replace(instance=3)),
    act.OffloadArtifacts(3, (Artifact.KERNELS, Artifact.ADAPTER)),
    act.PrepareAdapter("node-0", "f1"),
    act.LoadAdapter(3, "f1"),
    act.DropAdapter(3, "f1"),
    act.LoadBackbone(COPY, 4),
    act.CopyBackbone(COPY, 5, COPY._replace(device="node-0/cpu:1")),
    act.DropBackbone(COPY),
    act.StopInstance(3),
    DeviceWork("cuda:0", busy=True),
]
EVENTS = [
    ev.TemplateReady("node-0"),
    ev.TemplateDied("killed by SIGKILL"),
    ev.InstanceStarted(3),
    ev.ArtifactLoaded(3, Artifact.KERNELS, prewarmed=True),
    ev.AdapterLoaded(3, "f1"),
    ev.AdapterFailed(3, "f1", "not finite"),
    ev.AdapterTierResized(5 << 20, "node-0"),
    ev.ArtifactsOffloaded(3),
    ev.BackboneLoaded(COPY, 4),
    ev.BackboneFailed(COPY, 4, "a reason"),
    ev.PrewarmedReady(COPY, 2, 740),
    ev.InstanceStopped(3),
    ev.ProcessDied(3, "exit status 1"),
]
AUDITS = [
    Audit(COPY, Sum((1 << 64) - 1, 5, 6), Sum(7, 8, 9)),
    Audit(COPY, Sum(1, 5, 6), None, "a reason"),
]


def test_everything_that_crosses_is_tried() -> None:
    assert {type(item) for item in ACTIONS} == {kind.carries for kind in actions.ACTIONS}
    assert {type(item) for item in EVENTS} == {kind.carries for kind in events.EVENTS}


def carried(message: Message) -> Any:
    """``message`` after encoding and decoding."""
    return decoder(msg.FromAgent | msg.FromGateway).decode(encode(message))


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_an_action_survives_the_way(action: Any) -> None:
    assert carried(actions.of(action)).core() == action


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_survives_the_way(event: Any) -> None:
    # The host of such an event is not sent: the gateway knows the node.
    expected = replace(event, host=HOST) if isinstance(event, OF_THE_HOST) else event
    assert carried(events.of(event)).core() == expected


@pytest.mark.parametrize("audit", AUDITS)
def test_an_audit_survives_the_way(audit: Audit) -> None:
    message = carried(msgspec.convert(audit, msg.Audited, from_attributes=True))
    assert msgspec.convert(message, Audit, from_attributes=True) == audit


@pytest.mark.parametrize("name", ["RequestArrived", "HostLeft", "object", "__import__"])
def test_a_node_tells_nothing_else(name: str) -> None:
    with pytest.raises(ValueError, match=f"Invalid value '{name}'"):
        decoder(msg.FromAgent).decode(msgspec.msgpack.encode({"kind": name}))


def test_a_process_took_no_longer_than_any_does() -> None:
    """It teaches what every start of its backbone takes, on all nodes."""
    assert carried(events.PrewarmedReady(COPY, 1, 600 * 10**9))
    with pytest.raises(ValueError, match="took_ns"):
        carried(events.PrewarmedReady(COPY, 1, 600 * 10**9 + 1))


class Sent:
    """A link that records the sent messages."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: Message) -> None:
        self.messages.append(message)


def node(offset_ns: int) -> tuple[RemoteNode, Sent, list[Any], list[Any]]:
    clock, link = ClockOffset(), Sent()
    clock.heard(0, offset_ns, 0)
    posted: list[Any] = []
    tokens: list[Any] = []
    made = RemoteNode(
        "node-7",
        link,
        clock,
        2,
        posted.append,
        lambda *said: tokens.append(said),  # type: ignore[arg-type]
    )
    return made, link, posted, tokens


def hear(remote: RemoteNode, message: Message) -> None:
    remote.hears[type(message)](message)


def tokens_of(instance: int, said: dict[str, Any]) -> msg.Tokens:
    return msg.Tokens(instance, json.dumps(said).encode())


def test_what_a_node_tells_is_of_its_host_and_on_our_clock() -> None:
    remote, _, posted, tokens = node(offset_ns=1_000)
    remote.do[act.StartTemplate](act.StartTemplate("node-7"))
    remote.do[act.StartInstance](STARTS)
    hear(remote, events.TemplateReady())
    hear(remote, events.AdapterTierResized(7))
    spans = (
        events.StageSpan(Stage.WARMING, 1_100, 1_200),
        events.StageSpan(Stage.LIBRARIES, 1_200, 1_500),
    )
    artifact = Artifact.LIBRARIES
    hear(remote, events.ArtifactLoaded(3, spans, 1_200, artifact=artifact))
    said = {"kind": "prefilled", "batch": 1, "start_ns": 1_800, "t_ns": 1_900, "tokens": []}
    said["computed_ns"] = 70
    hear(remote, tokens_of(3, said))

    assert posted == [
        ev.TemplateReady("node-7"),
        ev.AdapterTierResized(7, "node-7"),
        ev.ArtifactLoaded(3, Artifact.LIBRARIES),
    ]
    expected = (Span(Stage.WARMING, 100, 200), Span(Stage.LIBRARIES, 200, 500))
    assert remote.provisioned(3) == Provisioned(expected, 200)
    assert tokens == [(3, Prefilled(1, t_ns=900, start_ns=800, computed_ns=70, tokens=()))]


def test_an_instance_that_ended_is_forgotten() -> None:
    remote, _, _, _ = node(offset_ns=0)
    remote.do[act.StartInstance](STARTS)
    hear(remote, events.InstanceStarted(3, (events.StageSpan(Stage.WARMING, 1, 2),), 2))
    hear(remote, events.ProcessDied(3, "gone"))
    assert remote.provisioned(3) == Provisioned()


TOKENS = {"kind": "decoded", "t_ns": 5, "tokens": [[1, 2, "stop"]]}
FOREIGN: list[Message] = [
    events.of(event)
    for event in (
        ev.InstanceStarted(4),
        ev.ArtifactLoaded(4, Artifact.KERNELS),
        ev.ArtifactsOffloaded(4),
        ev.InstanceStopped(4),
        ev.ProcessDied(4, "said another"),
        ev.BackboneLoaded(COPY, 1),
        ev.BackboneFailed(COPY, 1, "said another"),
        ev.TemplateReady(),
        ev.TemplateDied("said another"),
    )
]


@pytest.mark.parametrize("said", [*FOREIGN, tokens_of(4, TOKENS)])
def test_a_node_speaks_for_its_own_instances_and_copies_only(said: Message) -> None:
    remote, _, posted, tokens = node(offset_ns=0)
    remote.do[act.StartInstance](STARTS)
    remote.do[act.LoadBackbone](act.LoadBackbone(COPY._replace(device="node-7/cpu:0"), 1))
    with pytest.raises(ValueError, match="of node-7"):
        hear(remote, said)
    assert not posted
    assert not tokens


def test_what_instances_say_is_checked_again_where_it_arrives() -> None:
    remote, _, _, tokens = node(offset_ns=0)
    remote.do[act.StartInstance](STARTS)
    with pytest.raises(ValueError, match=r"Expected `int`, got `str` - at `\$\.t_ns`"):
        hear(remote, tokens_of(3, {**TOKENS, "t_ns": "x"}))
    assert not tokens


def test_a_node_cannot_pass_an_action_for_an_event() -> None:
    remote, _, _, _ = node(offset_ns=0)
    assert actions.StopInstance not in remote.hears
    with pytest.raises(ValueError, match="Invalid value 'StopInstance'"):
        decoder(msg.FromAgent).decode(encode(actions.StopInstance(3)))


def test_actions_and_requests_go_to_the_node() -> None:
    remote, link, _, _ = node(offset_ns=0)
    remote.do[act.StopInstance](act.StopInstance(3))
    remote.send(3, Cancel(9))
    assert link.messages[0].core() == act.StopInstance(3)
    assert link.messages[1].instance == 3
    assert json.loads(link.messages[1].said) == {"kind": "cancel", "request": 9}


# -- models -------------------------------------------------------------------------------------


@pytest.fixture
def seeded(tiny: Path) -> Deployment:
    return _deployed(tiny, ensure_adapters(tiny, ["f0"], rank=8)["f0"])


def _deployed(backbone: Path, adapter: Path) -> Deployment:
    return Deployment(
        functions=(Function(id="f0", backbone="tiny", adapter=adapter),),
        backbones={"tiny": backbone},
        devices=(Device(name="cpu:0", memory_bytes=2 << 30),),
        dtype="float32",
    )


def test_what_a_seed_makes_is_made_on_the_node(seeded: Deployment, tmp_path: Path) -> None:
    cache, ours = cache_root(), models.prints(make_plan(seeded, forks=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLBENCH_CACHE", str(tmp_path))
        there = models.here(seeded, cache)
        assert there.backbones["tiny"].is_relative_to(tmp_path)
        assert there.functions[0].adapter is not None
        assert there.functions[0].adapter.is_relative_to(tmp_path)
        models.check_same(ours, models.prints(make_plan(there, forks=True)))


def test_a_model_that_is_not_there_is_named(seeded: Deployment, tmp_path: Path) -> None:
    moved = seeded.model_copy(update={"backbones": {"tiny": tmp_path / "nowhere"}})
    with pytest.raises(DeploymentError, match=r"backbone tiny: .*nowhere does not exist; copy"):
        models.here(moved, cache_root())


def test_other_weights_at_the_same_place_are_noticed(seeded: Deployment, tmp_path: Path) -> None:
    mine = _copied(seeded, tmp_path / "mine")
    ours = models.prints(make_plan(mine, forks=True))
    adapter = mine.functions[0].adapter
    assert adapter is not None
    weights = adapter / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DeploymentError, match="adapter of f0 is not the one that the gateway has"):
        models.check_same(ours, models.prints(make_plan(mine, forks=True)))


def _copied(deployment: Deployment, to: Path) -> Deployment:
    adapter = deployment.functions[0].adapter
    assert adapter is not None
    shutil.copytree(deployment.backbones["tiny"], to / "tiny")
    shutil.copytree(adapter, to / "f0")
    return _deployed(to / "tiny", to / "f0")


# -- addresses ----------------------------------------------------------------------------------


def test_addresses_of_clusters() -> None:
    assert ClusterAddress.parse("local:2").local == 2
    assert ClusterAddress.parse("10.0.0.1:6379") == ClusterAddress(0, "10.0.0.1", 6379)
    assert ClusterAddress.parse("local:2").our_address() == "127.0.0.1"


@pytest.mark.parametrize(
    "text", ["local", "local:0", "local:-1", "10.0.0.1", "ray://x", "", "a:70000"]
)
def test_what_is_no_cluster_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SystemsError, match="write local:N"):
        ClusterAddress.parse(text)


def test_a_head_that_does_not_answer_is_told_before_anything_starts() -> None:
    with pytest.raises(DeploymentError, match="cannot connect to its head"):
        ClusterAddress.parse("127.0.0.1:1").check_reachable()


@pytest.mark.parametrize("level", ["function", "tenant", "backbone"])
def test_a_node_has_the_groups_of_the_gateway(level: Isolation, deployment: Deployment) -> None:
    """At another level it would not know the group of an instance that it is to start."""
    functions = tuple(each.model_copy(update={"tenant": "acme"}) for each in deployment.functions)
    asked = deployment.model_copy(update={"functions": functions, "isolation": level})
    plan = make_plan(asked, forks=True)
    offer = carried(offer_of(plan, forks=True))
    there = make_plan(offer.deployment, forks=True)
    assert there.cluster.groups == plan.cluster.groups
