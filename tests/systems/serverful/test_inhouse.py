"""The in-tree serverful systems, live: conforming, and losing nothing while requests move."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.conformance import examine
from harness.conformance.talk import complete
from systems.dlora import DLoRA
from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function, Limits, Stage, SystemTrace
from systems.models import ensure_adapters, ensure_backbone
from systems.multi_lora import MultiLoRA
from systems.registry import system_class
from systems.serverful.http import get
from systems.serverful.prometheus import total

pytestmark = pytest.mark.live
NAMES = ("f0", "f1", "f2")
MIGRATING = {"replicas": 2, "max_adapters": 2, "migration_interval_s": 0.01, "threads": 1}
ROUNDS = 8
"""Crowds at most until one is moved: whether replicas drift apart depends on the machine."""
ONE_GROUP = "serves only functions of one group by an instance"


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


@pytest.mark.parametrize("name", ["multi-lora", "dlora"])
def test_it_conforms(name: str, deployment: Deployment) -> None:
    results = list(examine(system_class(name)(), deployment))
    rest = {each.check: each.why for each in results if each.outcome != "passed"}
    assert rest == {ONE_GROUP: "the system has no isolation levels"}


@pytest.fixture(scope="module")
def migrated(deployment: Deployment) -> tuple[dict[str, str], SystemTrace]:
    """Answers alone and amid a crowd that moves between two replicas, and what was seen."""
    system = DLoRA()
    moving = deployment.model_copy(update={"options": MIGRATING})
    with system:
        endpoint = system.deploy(moving)

        def answer(item: tuple[int, str, float]) -> tuple[int, str, float, str | None, int | None]:
            number, name, temperature = item
            reply = complete(
                endpoint,
                name,
                20 + number % 40,
                prompt=list(range(10, 30)),
                temperature=temperature,
                seed=number % 5,
                request_id=str(number),
            )
            assert reply.status == 200
            return *item, reply.answer.text_sha256, reply.answer.output_tokens

        crowd = [(n, NAMES[0 if n % 4 else n % 3], float(n % 2)) for n in range(24)]
        alone = [answer(item) for item in crowd]
        for _ in range(ROUNDS):
            with ThreadPoolExecutor(len(crowd)) as pool:
                together = list(pool.map(answer, crowd))
            system_trace = system.system_trace()
            if _moved(system_trace):
                break
        told = get(f"{endpoint.route('f0').base_url}/metrics") or ""
        assert total(told, "slbench_requests_total") == len(system_trace.requests)
        assert total(told, "slbench_tpot_seconds_count") > 0
    return {"alone": str(alone), "together": str(together)}, system_trace


def _moved(system_trace: SystemTrace) -> bool:
    return any(each.kind == "migrate" for each in system_trace.decisions)


def test_answers_survive_being_moved(
    migrated: tuple[dict[str, str], SystemTrace],
) -> None:
    answers, system_trace = migrated
    assert _moved(system_trace), "nothing was moved"
    assert answers["together"] == answers["alone"]


def test_every_request_is_told_of_in_stages(
    migrated: tuple[dict[str, str], SystemTrace],
) -> None:
    _, system_trace = migrated
    assert len(system_trace.requests) in range(2 * 24, (ROUNDS + 2) * 24, 24)
    for each in system_trace.requests:
        stages = [span.stage for span in each.spans]
        assert stages[-2:] == [Stage.PREFILL, Stage.DECODE]
    assert system_trace.memory
    replicas = {each.instance_id for each in system_trace.activity}
    assert replicas == {"tiny/0", "tiny/1"} == {each.instance_id for each in system_trace.requests}
    assert system_trace.measured["unmerged_s"] > 0, "dLoRA's own, before it served"


def test_a_second_device_is_refused(deployment: Deployment) -> None:
    two = tuple(Device(name=f"cpu:{n}", memory_bytes=1 << 30) for n in range(2))
    with pytest.raises(DeploymentError, match="run on one device"):
        MultiLoRA().check(deployment.model_copy(update={"devices": two}))
