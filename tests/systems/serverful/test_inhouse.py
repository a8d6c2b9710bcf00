"""The in-tree serverful systems, live: conforming, and losing nothing while requests move."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from harness.conformance import Result, examine
from harness.conformance.talk import complete
from systems.dlora import DLoRA
from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Endpoint, Function, Limits, Stage, SystemTrace
from systems.models import ensure_adapters, ensure_backbone
from systems.multi_lora import MultiLoRA
from systems.serverful.http import get
from systems.serverful.prometheus import total

pytestmark = pytest.mark.live
NAMES = ("f0", "f1", "f2")
MIGRATING = {"replicas": 2, "max_adapters": 2, "migration_interval_s": 0.01, "threads": 1}
ROUNDS = 8
"""Crowds at most until one is moved: whether replicas drift apart depends on the machine."""
CROWD = 24
Answered = tuple[int, str, float, str | None, int | None]
UNTESTABLE = {
    "serves only functions of one group by an instance": "the system has no isolation levels"
}


@pytest.fixture(scope="module")
def tiny() -> Path:
    return ensure_backbone("tiny")


@pytest.fixture(scope="module")
def deployment(tiny: Path) -> Deployment:
    adapters = ensure_adapters(tiny, list(NAMES), rank=8)
    return Deployment(
        functions=tuple(Function(id=n, backbone="tiny", adapter=adapters[n]) for n in NAMES),
        backbones={"tiny": tiny},
        devices=(Device(name="cpu:0", memory_bytes=2 << 30),),
        limits=Limits(max_batch_size=4, max_context_tokens=256, threads_per_instance=1),
        dtype="float32",
    )


def test_multi_lora_conforms(deployment: Deployment) -> None:
    assert _rest(examine(MultiLoRA(), deployment)) == UNTESTABLE


class Reached(DLoRA):
    """Remembers where it is, for requests between the checks of its conformance."""

    def deploy(self, deployment: Deployment) -> Endpoint:
        self.endpoint = super().deploy(deployment)
        return self.endpoint


@dataclass(frozen=True)
class Migrated:
    """Answers alone and amid a crowd that moves between two replicas, and what was seen up to then,
    first the requests ``before``; and what did not pass of the checks around them."""

    alone: list[Answered]
    together: list[Answered]
    system_trace: SystemTrace
    before: SystemTrace
    rest: dict[str, str]


@pytest.fixture(scope="module")
def migrated(deployment: Deployment) -> Migrated:
    """Between the first check of conformance and the others: replicas take seconds to start."""
    system = Reached()
    checks = examine(system, deployment.model_copy(update={"options": MIGRATING}))
    results = [next(checks)]
    before = system.system_trace()
    crowd = [(n, NAMES[0 if n % 4 else n % 3], float(n % 2)) for n in range(CROWD)]
    answer = partial(_answer, system.endpoint)
    alone = [answer(item) for item in crowd]
    for _ in range(ROUNDS):
        with ThreadPoolExecutor(len(crowd)) as pool:
            together = list(pool.map(answer, crowd))
        system_trace = system.system_trace()
        if _moves(system_trace) > _moves(before):
            break
    told = get(f"{system.endpoint.route('f0').base_url}/metrics") or ""
    assert total(told, "slbench_requests_total") == len(system_trace.requests)
    assert total(told, "slbench_tpot_seconds_count") > 0
    return Migrated(alone, together, system_trace, before, _rest([*results, *checks]))


def _answer(endpoint: Endpoint, item: tuple[int, str, float]) -> Answered:
    number, name, temperature = item
    reply = complete(
        endpoint,
        name,
        20 + number % 40,
        prompt=list(range(10, 30)),
        temperature=temperature,
        seed=number % 5,
        request_id=f"moved-{number}",
    )
    assert reply.status == 200
    return *item, reply.answer.text_sha256, reply.answer.output_tokens


def _moves(system_trace: SystemTrace) -> int:
    return sum(each.kind == "migrate" for each in system_trace.decisions)


def _rest(results: Iterable[Result]) -> dict[str, str]:
    """What did not pass, and why."""
    return {each.check: each.why for each in results if each.outcome != "passed"}


def test_dlora_conforms_on_two_replicas(migrated: Migrated) -> None:
    assert migrated.rest == UNTESTABLE


def test_answers_survive_being_moved(migrated: Migrated) -> None:
    assert _moves(migrated.system_trace) > _moves(migrated.before), "nothing was moved"
    assert migrated.together == migrated.alone


def test_every_request_is_told_of_in_stages(migrated: Migrated) -> None:
    system_trace = migrated.system_trace
    crowds = system_trace.requests[len(migrated.before.requests) :]
    assert len(crowds) in range(2 * CROWD, (ROUNDS + 2) * CROWD, CROWD)
    for each in crowds:
        stages = [span.stage for span in each.spans]
        assert stages[-2:] == [Stage.PREFILL, Stage.DECODE]
    assert system_trace.memory
    replicas = {each.instance_id for each in system_trace.activity}
    assert replicas == {"tiny/0", "tiny/1"} == {each.instance_id for each in crowds}
    assert system_trace.measured["unmerged_s"] > 0, "dLoRA's own, before it served"


def test_a_second_device_is_refused(deployment: Deployment) -> None:
    two = tuple(Device(name=f"cpu:{n}", memory_bytes=1 << 30) for n in range(2))
    with pytest.raises(DeploymentError, match="run on one device"):
        MultiLoRA().check(deployment.model_copy(update={"devices": two}))
