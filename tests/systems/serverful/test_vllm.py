"""vLLM as a system under test: against its recorded protocol, and for real where it is there."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from harness.conformance import examine
from harness.conformance.talk import complete
from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function, Limits, MemoryOwner
from systems.models import ensure_adapters, ensure_backbone, ensure_form
from systems.vllm import EXECUTABLE, Vllm, VllmDedicated, executable

RECORDED = Path(__file__).with_name("recorded")
NAMES = ("f0", "f1")
TARGETS = ("k_proj", "o_proj", "q_proj", "v_proj")


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    tiny = ensure_backbone("tiny")
    adapters = ensure_adapters(tiny, list(NAMES), rank=8)
    return Deployment(
        functions=tuple(
            Function(id=n, backbone="smollm2-135m", adapter=adapters[n]) for n in NAMES
        ),
        backbones={"smollm2-135m": tiny},
        devices=(Device(name="cpu:0", memory_bytes=2 << 30),),
        limits=Limits(max_batch_size=4, max_context_tokens=256, threads_per_instance=1),
    )


def test_one_server_holds_every_adapter_of_a_backbone(
    recorded: Path, deployment: Deployment
) -> None:
    with Vllm() as system:
        endpoint = system.deploy(deployment)
        assert len(endpoint.pids) == 1
        assert {endpoint.route(name).base_url for name in NAMES} == {endpoint.base_url}
        (log,) = (t for n, t in system.system_trace().files.items() if n.endswith(".log"))
    said = log.splitlines()[0].split()
    assert said[said.index("--max-loras") + 1] == "2"
    assert said[said.index("--max-cpu-loras") + 1] == "2"
    assert said[said.index("--max-lora-rank") + 1] == "8"
    assert said[said.index("--max-num-seqs") + 1] == "8", "two functions of four at once"
    assert "/" not in "".join(word for word in said if word.startswith("f0=")), "names, no paths"
    modules = said[said.index("--lora-target-modules") + 1 : said.index("--lora-modules")]
    assert modules == [*TARGETS, "qkv_proj"], "those that adapters have, and no others"
    first = {line.partition(": ")[2] for line in log.splitlines() if line.startswith("warm-up")}
    models = (*NAMES, "smollm2-135m")
    assert first == {f"{model} {length}" for model in models for length in (8, 128)}


def test_an_adapter_whose_scalings_vllm_would_ignore_is_refused(
    recorded: Path, deployment: Deployment
) -> None:
    tiny = deployment.backbones["smollm2-135m"]
    forms = {form: ensure_form(tiny, [form], form)[form] for form in ("plain", "ranks-by-pattern")}
    functions = tuple(Function(id=f, backbone="smollm2-135m", adapter=forms[f]) for f in forms)
    with pytest.raises(DeploymentError, match=r"vllm: ranks-by-pattern: its rank_pattern"):
        Vllm().servers(deployment.model_copy(update={"functions": functions}))
    rest = Vllm().servers(deployment.model_copy(update={"functions": functions[:1]}))
    assert "--enable-lora" in rest[0].command


def test_dedicated_is_a_server_a_function(recorded: Path, deployment: Deployment) -> None:
    with VllmDedicated() as system:
        endpoint = system.deploy(deployment)
        assert len(endpoint.pids) == 2
        assert len({endpoint.route(name).base_url for name in NAMES}) == 2
        held = {each.function_id for each in system.system_trace().activity}
    assert held == set(NAMES)


def test_a_limit_of_requests_leaves_vllm_its_graphs(
    recorded: Path, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself vLLM would capture steps of up to twice the limit: none with a long prompt."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    card = (Device(name="cuda:0", memory_bytes=20 << 30),)
    name, own = "--compilation-config", '{"cudagraph_capture_sizes": [1]}'

    def configurations(**options: object) -> list[str]:
        asked = {"devices": card, "dtype": "float16", "options": options}
        (plan,) = Vllm().servers(deployment.model_copy(update=asked))
        return [v for n, v in pairwise(plan.command) if n == name]

    wide = ['{"max_cudagraph_capture_size": 512}']
    assert configurations() == configurations(max_num_seqs=255) == wide
    assert configurations(max_num_seqs=256) == [], "as many as it captures anyway"
    assert configurations(arguments=[name, own]) == [*wide, own], "the last one counts"
    assert name not in Vllm().servers(deployment)[0].command, "no graphs on cores"


def test_it_is_held_all_the_time_and_measures_its_ttft(
    recorded: Path, deployment: Deployment
) -> None:
    with Vllm() as system:
        endpoint = system.deploy(deployment)
        assert "ttft_n" not in system.system_trace().measured, "nothing was asked yet"
        reply = complete(endpoint, "f0", 4)
        assert (reply.status, reply.answer.output_tokens) == (200, 4)
        seen = system.system_trace()
    assert seen.measured["ttft_n"] == 1
    assert seen.measured["ttft_mean_s"] == pytest.approx(_recorded_ttft_s())
    assert seen.problems == ()
    assert seen.measured["startup_s"] > 0
    assert all(step.owner is MemoryOwner.OTHER and step.bytes > 0 for step in seen.memory)
    (held,) = seen.activity
    assert held.start_ns < held.end_ns
    assert {"metrics-before-smollm2-135m.txt", "metrics-after-smollm2-135m.txt"} <= set(seen.files)


def test_stopping_leaves_no_process(recorded: Path, deployment: Deployment) -> None:
    system = VllmDedicated()
    pids = system.deploy(deployment).pids
    system.stop()
    system.stop()
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_an_interrupt_while_servers_are_observed_leaves_neither_process_nor_watch(
    recorded: Path, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> str | None:
        raise KeyboardInterrupt

    system = VllmDedicated()
    pids = system.deploy(deployment).pids
    assert _watches()
    monkeypatch.setattr("systems.serverful.system.get", interrupted)
    with pytest.raises(KeyboardInterrupt):
        system.stop()
    assert not _watches()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    monkeypatch.undo()
    system.stop()


def test_a_server_that_ends_at_once_is_told_with_its_last_words(
    recorded: Path, deployment: Deployment
) -> None:
    recorded.write_text('#!/bin/sh\necho "ValueError: no such model"; exit 3\n')
    with pytest.raises(DeploymentError, match=r"status 3.*no such model"):
        Vllm().deploy(deployment)


def test_a_server_that_ends_before_its_first_answer_is_told_with_its_last_words(
    recorded: Path, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYBACK", "dying-early")
    with Vllm() as system, pytest.raises(DeploymentError, match="ended with status 0 before it"):
        system.deploy(deployment)


def test_a_recorded_failure_is_told_with_its_reason(
    recorded: Path, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYBACK", "failing")
    with pytest.raises(DeploymentError, match=r"status 1.*ModelConfig.*greater than the derived"):
        Vllm().deploy(deployment)


def test_a_recorded_death_in_a_stream_is_an_error_to_the_client_and_a_problem_of_the_run(
    recorded: Path, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYBACK", "dying")
    with Vllm() as system:
        endpoint = system.deploy(deployment)
        answer = complete(endpoint, "f0", 300).answer
        assert 1 <= len(answer.text_ns) < 300
        assert "EngineCore" in (answer.error or ""), "told in the stream, which is then ended"
        _gone(endpoint.pids)
        system_trace = system.system_trace()
    (problem,) = system_trace.problems
    assert "server smollm2-135m ended while it served, status 0" in problem
    assert "EngineDeadError" in problem
    assert "ttft_n" not in system_trace.measured, "it is not there to be asked"


def test_what_vllm_refuses_is_recorded_as_a_refusal(recorded: Path, deployment: Deployment) -> None:
    with Vllm() as system:
        reply = complete(system.deploy(deployment), "nobody", 4)
    assert (reply.status, reply.content_type) == (404, "application/json")


def _watches() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pss"]


def _gone(pids: Sequence[int]) -> None:
    psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=10)


def _recorded_ttft_s() -> float:
    """By the recorded metrics: all that was asked between the two scrapes was one request."""
    text = (RECORDED / "metrics-after.http").read_text()
    (line,) = (each for each in text.splitlines() if "time_to_first_token_seconds_sum" in each)
    return float(line.split()[-1])


def test_without_a_vllm_the_error_says_what_installs_one(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(EXECUTABLE, str(tmp_path / "nothing"))
    with pytest.raises(DeploymentError, match="make vllm"):
        Vllm().check(deployment)


def _installed() -> bool:
    try:
        executable()
    except DeploymentError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.live
@pytest.mark.timeout(900)  # starts in one minute alone, in five beside much else
@pytest.mark.skipif(not _installed(), reason="no vllm here; make vllm installs one")
def test_the_real_one_passes_the_conformance_suite(deployment: Deployment) -> None:
    failed = [each for each in examine(Vllm(), deployment) if each.outcome == "failed"]
    assert failed == []
