"""The responses of a live system: correct completions, and errors in OpenAI's format. What its
processes share: one backbone, which none can write to; and that the measures that confine them are
in force."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from systems.engine.adapter import load_adapter
from systems.engine.checkpoint import fill, plan_layout
from systems.engine.engine import Engine, GenerationRequest
from systems.engine.weights import BackboneWeights
from systems.interface import Deployment, MemoryOwner, RequestTrace, Stage, StartType
from systems.runtime.sandbox import confine, measures, users
from systems.serverful.http import get
from systems.serverful.prometheus import total
from tests.deployments import FUNCTIONS as NAMES

from .conftest import SERVERLESS, Running, events, looks_inside

pytestmark = pytest.mark.live
Up = Callable[..., Running]


# These two come first: they need systems that have not received a request yet.


@pytest.mark.parametrize("name", SERVERLESS)
def test_stages_cover_a_request_without_gap_and_tell_its_start_type(name: str, up: Up) -> None:
    running = up(name)

    async def twice() -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                assert (await running.ask(session, "f0"))["status"] == 200

    asyncio.run(twice())
    cold, hot = _seen_of(running, "f0")
    assert (cold.start_type, hot.start_type) == (StartType.COLD, StartType.HOT)
    for request in (cold, hot):
        assert request.spans[0].start_ns == request.received_ns
        for before, after in zip(request.spans, request.spans[1:], strict=False):
            assert before.end_ns == after.start_ns
        assert request.responded_ns is not None
        assert request.spans[-1].end_ns <= request.responded_ns
    told = get(f"{running.url}/metrics") or ""
    assert total(told, "slbench_ttft_seconds_count") == total(told, "slbench_requests_total") == 2
    assert total(told, "slbench_requests_running") == 0
    assert total(told, "slbench_memory_bytes") > 0
    assert total(told, "slbench_tpot_seconds_sum") > 0
    stages = {span.stage for span in cold.spans}
    assert stages >= {Stage.WARMING, Stage.LIBRARIES, Stage.BACKBONE, Stage.PREFILL}
    assert {span.stage for span in hot.spans} <= {Stage.QUEUE, Stage.PREFILL, Stage.DECODE}


def test_the_second_function_owes_no_import_and_no_checkpoint_load(up: Up) -> None:
    running = up()

    async def first_then_second() -> None:
        async with aiohttp.ClientSession() as session:
            await running.ask(session, "f0")
            await running.ask(session, "f1")

    asyncio.run(first_then_second())
    second = _seen_of(running, "f1")[0]
    assert second.start_type is StartType.COLD
    assert Stage.LIBRARIES not in {span.stage for span in second.spans}
    held = [s for s in running.system.system_trace().memory if s.owner is MemoryOwner.WEIGHTS]
    assert held
    assert all(step.t_ns < second.received_ns for step in held), "it was there before"


def _seen_of(running: Running, function: str) -> list[RequestTrace]:
    return [each for each in running.system.system_trace().requests if each.function_id == function]


def expected_ids(deployment: Deployment, prompt: list[int], tokens: int) -> dict[str, list[int]]:
    """Expected tokens by function, by the engine alone (itself checked by transformers + peft)."""
    backbone: Path = deployment.backbones["tiny"]
    layout = plan_layout(backbone, "float32")
    buffer = bytearray(layout.nbytes)
    fill(layout, backbone, memoryview(buffer))
    weights = BackboneWeights.from_buffer(layout, buffer)
    answers = {}
    for function in deployment.functions:
        folder = function.adapter
        adapter = load_adapter(folder, layout.config, "float32") if folder else None
        engine = Engine(layout.config, weights, adapter, max_batch_size=1, max_context_tokens=256)
        found = engine.prefill([GenerationRequest(0, tuple(prompt), tokens, ignore_eos=True)])
        while engine.running:
            found += engine.decode()
        answers[function.id] = [event.token_id for event in found]
    return answers


@pytest.mark.parametrize(
    ("name", "functions"),
    [("serverless-lora", NAMES), ("serverless-llm", NAMES[:2])],  # each of these imports libraries
)
def test_each_function_answers_as_its_own_adapter(
    name: str, functions: tuple[str, ...], up: Up, deployment: Deployment
) -> None:
    from systems.runtime.http.text import Text

    running = up(name)
    prompt = [10, 20, 30, 40, 50]

    async def ask_all() -> dict[str, Any]:
        async with aiohttp.ClientSession() as session:
            fields = {"prompt": prompt, "max_tokens": 6, "ignore_eos": True}
            answers = await asyncio.gather(
                *(running.ask(session, n, skip_special_tokens=False, **fields) for n in functions)
            )
        return dict(zip(functions, answers, strict=True))

    answers = asyncio.run(ask_all())
    text = Text(deployment.backbones["tiny"])
    expected = expected_ids(deployment, prompt, 6)
    for function in functions:
        decoder = text.decoder(skip_special=False)
        wanted = "".join(decoder.text(token) for token in expected[function])
        assert answers[function]["choices"][0]["text"] == wanted
        assert answers[function]["usage"] == {
            "prompt_tokens": 5,
            "completion_tokens": 6,
            "total_tokens": 11,
        }


def test_a_stream_carries_the_same_text_and_its_usage(up: Up) -> None:
    running = up()
    body = {
        "model": "f1",
        "prompt": "Hello",
        "max_tokens": 8,
        "temperature": 0,
        "ignore_eos": True,
        "skip_special_tokens": False,
    }

    async def both() -> tuple[Any, list[Any]]:
        async with aiohttp.ClientSession() as session:
            url = f"{running.url}/v1/completions"
            async with session.post(url, json=body) as response:
                whole = await response.json()
            streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
            async with session.post(url, json=streamed) as response:
                assert response.content_type == "text/event-stream"
                return whole, events(await response.read())

    whole, chunks = asyncio.run(both())
    text = "".join(c["choices"][0]["text"] for c in chunks if c["choices"])
    assert text == whole["choices"][0]["text"]
    assert chunks[-1]["usage"] == whole["usage"]
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "length"


def test_chat_speaks_the_models_template(up: Up) -> None:
    running = up()

    async def chat() -> Any:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
        async with aiohttp.ClientSession() as session:
            url = f"{running.url}/v1/chat/completions"
            async with session.post(url, json=body) as response:
                return await response.json()

    answer = asyncio.run(chat())
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["role"] == "assistant"


BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "unknown model": ({"model": "nobody"}, 404, "model_not_found"),
    "no prompt": ({"prompt": None}, 400, "invalid_body"),
    "empty prompt": ({"prompt": []}, 400, "invalid_body"),
    "wrong type": ({"max_tokens": "many"}, 400, "invalid_body"),
    "none to generate": ({"max_tokens": 0}, 400, "invalid_body"),
    "too long": ({"prompt": [3] * 600}, 400, "context_length_exceeded"),
    "outside the vocabulary": ({"prompt": [10**6]}, 400, "invalid_prompt"),
    "several answers": ({"n": 2}, 400, "invalid_body"),
}


def test_bad_requests_get_openai_errors_and_harm_nothing(up: Up) -> None:
    running = up()

    async def misbehave() -> None:
        async with aiohttp.ClientSession() as session:
            for case, (fields, status, code) in BAD.items():
                changed = {"model": "f0", **fields}
                answer = await running.ask(session, changed.pop("model"), **changed)
                assert answer["status"] == status, case
                assert answer["error"]["code"] == code, case
            url = f"{running.url}/v1/completions"
            async with session.post(url, data=b'{"model": "f0", ') as response:
                assert response.status == 400
                assert (await response.json())["error"]["type"] == "invalid_request_error"
            async with session.get(f"{running.url}/nowhere") as response:
                assert response.status == 404
                assert "error" in await response.json()
            assert (await running.ask(session, "f0"))["status"] == 200

    asyncio.run(misbehave())


def hard_limits(pid: int) -> dict[str, str]:
    """Return what the kernel says of the limits of a process of any user (proc_pid_limits(5))."""
    _, *rows = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    return {row[:26].strip(): row[26:].split()[1] for row in rows}


def warm(up: Up) -> Running:
    """Return a system with instances of three functions."""
    running = up()

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            for name in ("f0", "f1", "f2"):
                assert (await running.ask(session, name))["status"] == 200

    asyncio.run(ask())
    return running


def test_what_the_manifest_says_is_in_force_in_each_instance(
    up: Up,
) -> None:
    """Read from the kernel's data on the serving processes."""
    running = warm(up)
    assert running.system.info().confinement == confine.names("cpu")
    assert len(running.instances()) >= 3
    for instance in running.instances():
        text = Path(f"/proc/{instance.pid}/status").read_text(encoding="utf-8")
        status = dict(line.split(":\t", 1) for line in text.splitlines())
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2", "SECCOMP_MODE_FILTER"
        kept = 1 << 2 if users.available() else 0  # CAP_DAC_READ_SEARCH
        assert all(int(status[name], 16) in (0, kept) for name in ("CapPrm", "CapEff", "CapInh"))
        assert int(status["Uid"].split()[0]) in (os.getuid(), users.FIRST + instance.pid)
        assert (int(status["CapEff"], 16) == 0) == (status["Uid"].split()[0] == str(os.getuid()))
        limits = hard_limits(instance.pid)
        assert int(limits["Max open files"]) <= measures.MAX_DESCRIPTORS
        assert limits["Max core file size"] == "0"
        assert limits["Max address space"] != "unlimited"
        for standard in (1, 2):
            printed = Path(f"/proc/{instance.pid}/fd/{standard}").readlink()
            assert str(printed).startswith("pipe:"), "and no file that it could fill a disk with"


@looks_inside
def test_instances_of_a_shared_backbone_map_the_same_pages(
    up: Up,
) -> None:
    running = warm(up)
    inodes = set()
    for process in running.instances():
        lines = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8").splitlines()
        (line,) = [line for line in lines if "memfd:backbone:tiny" in line]
        assert line.split()[1] == "r--s", "readable and shared, nothing else"
        inodes.add(line.split()[4])
    assert len(running.instances()) >= 3
    assert len(inodes) == 1


@looks_inside
def test_the_instances_together_hold_one_backbone(up: Up, tiny: Path) -> None:
    """From the kernel's counters: the proportional sizes of all mappings sum to one backbone."""
    size = plan_layout(tiny, "float32").nbytes
    for name, asked, copies in (
        ("serverless-lora", ("f0", "f1", "f2"), 1),
        ("serverless-llm", ("f0", "f1"), 0),
    ):
        running = up(name)

        async def warm(running: Running = running, asked: tuple[str, ...] = asked) -> None:
            async with aiohttp.ClientSession() as session:
                await asyncio.gather(*(running.ask(session, function) for function in asked))

        asyncio.run(warm())
        mapped = sum(mapped_pss(process.pid) for process in running.instances())
        assert mapped == pytest.approx(copies * size, rel=0.01)
        weights = [
            step
            for step in running.system.system_trace().memory
            if step.owner is MemoryOwner.WEIGHTS and step.bytes
        ]
        assert [step.bytes for step in weights] == [size] * (1 if copies else len(asked))


def mapped_pss(pid: int) -> int:
    """This process's proportional share of the shared backbone, in bytes."""
    lines = iter(Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines())
    for line in lines:
        if "memfd:backbone" in line:
            pss = next(each for each in lines if each.startswith("Pss:"))
            return int(pss.split()[1]) * 1024
    return 0


def test_a_request_that_is_cut_off_by_the_end_is_told_of(up: Up) -> None:
    """The last of this module, since it ends the system."""
    running = up()
    body = {"model": "f0", "prompt": [5, 6], "max_tokens": 480, "ignore_eos": True, "stream": True}

    async def leave() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{running.url}/v1/completions", json=body) as response:
                await response.content.readany()
            for instance in running.instances():
                instance.suspend()  # so that it cannot finish before the end
            running.system.stop()

    asyncio.run(leave())
    system_trace = running.system.system_trace()
    request, activity = system_trace.requests[-1], system_trace.activity[-1]
    assert request.function_id == activity.function_id == "f0"
    assert request.responded_ns is None
    assert activity.end_ns > request.spans[-1].start_ns
