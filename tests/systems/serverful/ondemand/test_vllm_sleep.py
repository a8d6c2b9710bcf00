"""vllm-sleep as a system: scripted vLLMs, a real proxy, real HTTP."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.cells.tables import relative
from harness.conformance import examine
from harness.cost import bill, price_sheet
from systems.engine.checkpoint import plan_layout
from systems.errors import DeploymentError
from systems.interface import Device, MemoryStep, Stage, StartType, SystemTrace
from systems.models import ensure_backbone
from systems.runtime import cards
from systems.vllm_sleep import VllmSleep

from .conftest import Deploy, Scripted
from .live import live, until
from .scripted_vllm import ASLEEP_BYTES as ASLEEP
from .scripted_vllm import AWAKE_BYTES as AWAKE
from .scripted_vllm import WAKE_S

_SHARE = "--gpu-memory-utilization"


def test_it_conforms(scripted: Scripted, deployed: Deploy) -> None:
    results = list(examine(VllmSleep(), deployed("f0", "f1")))
    rest = {each.check: each.why for each in results if each.outcome != "passed"}
    assert rest == {
        "serves only functions of one group by an instance": "the system has no isolation levels"
    }


def test_it_holds_more_awake_than_asleep_and_pays_for_both(
    scripted: Scripted, deployed: Deploy
) -> None:
    with live(deployed("f0", "f1", keep_alive_s=0.05)) as here:
        here.mark()
        here.call("f0", request_id="1")
        here.hears("asleep")
        until(lambda: len(on_card(here.system.system_trace())) == 4)
        (request,) = here.system.system_trace().requests
        end_ns = time.monotonic_ns()
    told = here.system.system_trace()
    assert [step.bytes for step in on_card(told)] == [AWAKE, ASLEEP, AWAKE, ASLEEP]
    first, second, third, fourth = (step.t_ns for step in on_card(told))
    assert request.placed_ns - third > 0.9 * WAKE_S * 1e9, "from the beginning of the wake"
    assert {step.function_id for step in told.memory} == {None}, "one server for both functions"
    (busy,) = told.activity
    assert (busy.start_ns, busy.end_ns) == (request.placed_ns, request.done_ns)
    usage = billed(told, end_ns)
    active_s = (busy.end_ns - busy.start_ns) / 1e9
    assert usage["gpu_memory_active"] == pytest.approx(active_s * AWAKE / 1e9)
    awake_s, asleep_s = (fourth - third) / 1e9 - active_s, (third - second) / 1e9
    asleep_s += (end_ns - fourth) / 1e9
    idle = awake_s * AWAKE + asleep_s * ASLEEP + (second - first) / 1e9 * AWAKE
    assert usage["gpu_memory_idle"] == pytest.approx(idle / 1e9)
    weights = plan_layout(ensure_backbone("tiny"), "bfloat16").nbytes
    assert max(step.bytes for step in told.memory if step.device == "host") >= weights
    assert told.processor[-1].used_ns >= 0
    assert {"first_sleep_mean_s", "wake_mean_s", "sleep_mean_s"} <= set(told.measured)
    (log,) = (text for name, text in told.files.items() if name.endswith("-0.log"))
    before, slept, _ = log.partition(" sleep\n")
    assert slept
    assert before.count(" call\n") == 2 * len(("f0", "f1", "the backbone")), "short and long"


@pytest.mark.parametrize("lists", ["", "1"])
def test_a_server_for_each_function_of_which_one_is_awake(
    lists: str, scripted: Scripted, deployed: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver lists the processes, or (in a container) it does not: the same is billed."""
    monkeypatch.setenv("CARD_LISTS", lists)
    asked = deployed("f0", "f1", keep_alive_s=60, one_per="function", awake=1, turn_s=0.01)
    with live(asked) as here, ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(here.call, ["f0", "f1"] * 4))
        assert {reply.status for reply in replies} == {200}
        assert len(here.servers()) == 2
    told = here.system.system_trace()
    for function in ("f0", "f1"):
        held = [step.bytes for step in on_card(told) if step.function_id == function]
        assert set(held) == {AWAKE, ASLEEP}
        assert held[:2] == [AWAKE, ASLEEP], "started and put to sleep"
    assert {each.instance_id for each in told.activity} == {"f0", "f1"}
    awake, most = dict.fromkeys(("f0", "f1"), 0), 0
    for step in sorted(on_card(told), key=lambda step: step.t_ns):
        awake[step.function_id] = step.bytes
        most = max(most, sum(awake.values()))
    assert most == AWAKE + ASLEEP, "both awake at once"


@pytest.mark.parametrize("awake", [1, 2])
def test_as_many_start_at_once_as_may_be_awake(
    awake: int, scripted: Scripted, deployed: Deploy
) -> None:
    """Beside others that start, a server cannot measure what is free for keys and values."""
    asked = deployed("f0", "f1", "f2", one_per="function", awake=awake, keep_alive_s=60)
    with live(asked) as here:
        states = [line for line in here.said() if not line.startswith("arguments")]
        rest = ["sleep", "asleep"]
        last = ["awake", *rest]
        assert states == (last * 3 if awake == 1 else ["awake", "awake", *rest, *rest, *last])
        told = "".join(here.system.system_trace().files.values())
        assert told.count("--kv-cache-memory-bytes") == (3 if awake > 1 else 0)


def test_a_server_may_start_at_its_first_call(scripted: Scripted, deployed: Deploy) -> None:
    asked = deployed("f0", "f1", one_per="function", start="first-call", keep_alive_s=60)
    with live(asked) as here:
        assert here.servers() == []
        assert here.call("f0", request_id="1").status == 200
        assert len(here.servers()) == 1
        request = here.trace("1")
        scripted.fail("start")
        assert here.call("f1").status == 503
        assert here.call("f1").status == 200
        (problem,) = here.problems()
    assert request.start_type is StartType.COLD
    assert Stage.WARMING in {span.stage for span in request.spans}
    assert "f1: ended with status 1 before it answered: ValueError: No available mem" in problem


def test_a_server_that_does_not_start_is_told_with_its_last_words(
    scripted: Scripted, deployed: Deploy
) -> None:
    scripted.fail("start")
    with pytest.raises(DeploymentError, match=r"tiny: ended with status 1 .*No available memory"):
        VllmSleep().deploy(deployed("f0"))


def test_where_one_of_many_does_not_start_the_others_are_ended_at_once(
    scripted: Scripted, deployed: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many start, each of which is waited for by a thread."""
    monkeypatch.setenv("START_S", "300")
    monkeypatch.setattr("systems.vllm_sleep.check_host", lambda *_: None)
    many = (os.cpu_count() or 1) + 5
    asked = deployed(*(f"f{n}" for n in range(many)), one_per="function", awake=many)
    device = asked.devices[0].model_copy(update={"memory_bytes": many * 10 << 30})
    asked = asked.model_copy(update={"devices": (device,)})
    scripted.fail("start")
    begun = time.monotonic()
    with VllmSleep() as system, pytest.raises(DeploymentError, match="No available memory"):
        system.deploy(asked)
    assert time.monotonic() - begun < 100


def test_a_call_that_no_server_answers_in_time_is_ended(
    scripted: Scripted, deployed: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAKE_S", "0.8")
    asked = deployed("f0", keep_alive_s=60)
    limits = asked.limits.model_copy(update={"request_timeout_s": 0.3})
    with live(asked.model_copy(update={"limits": limits})) as here:
        here.mark()
        assert here.call().status == 504
        here.hears("awake")
        assert here.call().status == 200


def test_a_part_of_a_large_card_has_room_for_as_many_as_a_card_of_that_size(
    scripted: Scripted, deployed: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Device(name="cuda:0", memory_bytes=24 << 30)
    asked = deployed("f0", "f1", "f2", "f3", one_per="function")
    monkeypatch.setattr(cards, "memory_of", lambda _device: 2 * part.memory_bytes)
    (config,) = VllmSleep().configs(asked.model_copy(update={"devices": (part,)}))
    assert config.slots == 4
    shares = [float(each.command[each.command.index(_SHARE) + 1]) for each in config.servers]
    assert sum(shares) == pytest.approx(0.5)


def test_without_a_card_it_is_refused(deployed: Deploy) -> None:
    cores = (Device(name="cpu:0", memory_bytes=2 << 30),)
    with pytest.raises(DeploymentError, match=r"^vllm-sleep: sleep mode needs a card; .* cpu:0$"):
        VllmSleep().check(deployed("f0").model_copy(update={"devices": cores}))


def on_card(told: SystemTrace) -> list[MemoryStep]:
    return [step for step in told.memory if step.device == "cuda:0"]


def billed(told: SystemTrace, end_ns: int) -> dict[str, float]:
    """Return the quantities of the bill from the system's deployment to ``end_ns``."""
    start_ns = on_card(told)[0].t_ns
    seen = relative(told, start_ns)
    rows = bill(
        seen.memory, seen.activity, {}, price_sheet("alibaba-fc"), end_ns=end_ns - start_ns,
        threads=1,
    ).to_pandas()  # fmt: skip
    return dict(rows.groupby("resource")["quantity"].sum())
