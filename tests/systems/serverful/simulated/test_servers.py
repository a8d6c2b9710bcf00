"""Servers in virtual time, by the batchers and the placement that also run live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function, Limits, MemoryOwner
from systems.registry import system_class
from systems.serverful.simulated import replica
from systems.serverful.simulated import run as servers
from systems.serverful.simulated.outcome import Outcome
from systems.simulation.arrival import Arrival, OpenLoad
from systems.simulation.clock import Clock, Shared
from systems.simulation.profile import load_profile

NAMES = tuple(f"f{index}" for index in range(8))
HOT = [("f0", 0.02 * i) for i in range(40)]
MIXED = [(NAMES[i % 8], 0.02 * i) for i in range(40)]
MOVING = {"replicas": 2, "max_adapters": 2, "migration_interval_s": 0.05}


def run(
    name: str,
    load: Sequence[tuple[str, float]],
    *,
    tokens: int | Sequence[int] = 40,
    backbones: Sequence[str] = ("llama2-7b",),
    devices: int = 1,
    gigabytes: float = 44,
    options: dict[str, Any] | None = None,
    **limits: Any,
) -> Outcome:
    deployment = Deployment(
        functions=tuple(
            Function(id=id_, backbone=backbones[i % len(backbones)], adapter=Path(id_))
            for i, id_ in enumerate(NAMES)
        ),
        backbones={each: Path(each) for each in backbones},
        devices=tuple(
            Device(name=f"cuda:{i}", memory_bytes=int(gigabytes * 1e9)) for i in range(devices)
        ),
        dtype="float16",
        limits=Limits(**{"max_context_tokens": 512, **limits}),
        options=options or {},
    )
    lengths = [tokens] * len(load) if isinstance(tokens, int) else tokens
    arrivals = [
        Arrival(i, round(at_s * 1e9), function, 64, lengths[i])
        for i, (function, at_s) in enumerate(load)
    ]
    simulated: Any = system_class(name)
    outcome: Outcome = simulated.simulate(deployment, load_profile("l40s"), OpenLoad(arrivals), 16)
    return outcome


def mean_s(outcome: Outcome) -> float:
    """Of the whole answer, over all requests."""
    ends = [call.work.last_ns - call.received_ns for call in outcome.calls.values()]
    return sum(ends) / len(ends) / 1e9


def kinds(outcome: Outcome) -> Counter[str]:
    return Counter(each.kind for each in outcome.decisions)


@pytest.mark.parametrize("name", ["multi-lora", "dlora"])
@pytest.mark.parametrize("options", [{}, MOVING])
def test_every_request_is_answered_and_its_stages_add_up(
    name: str, options: dict[str, Any]
) -> None:
    outcome = run(name, MIXED, options=options)
    assert {call.status for call in outcome.calls.values()} == {"ok"}
    for request in outcome.system_trace().requests:
        assert request.responded_ns is not None
        total_ns = sum(span.end_ns - span.start_ns for span in request.spans)
        assert total_ns == request.responded_ns - request.received_ns
    for call in outcome.calls.values():
        assert call.work.left == 0, "a token for a token, wherever it ran"


def test_a_request_alone_takes_its_prefill_and_its_steps() -> None:
    (call,) = run("multi-lora", [("f0", 1.0)], tokens=11).calls.values()
    latency = run("multi-lora", [("f0", 1.0)]).servers[0].server.latency
    assert call.work.first_ns - call.received_ns == pytest.approx(
        latency.prefill_ns([64], {"f0"}, merged=False), abs=2
    )
    assert call.work.last_ns - call.work.first_ns == pytest.approx(
        10 * latency.step_by_context(1, {"f0"}, merged=False)(0), abs=20
    )


def test_rows_of_further_adapters_make_a_step_longer_and_merging_makes_it_shorter() -> None:
    latency = run("dlora", [("f0", 0.0)]).servers[0].server.latency

    def step_ns(adapters: set[str], *, merged: bool) -> float:
        return latency.step_by_context(8, adapters, merged)(0)

    one, eight = (step_ns(set(NAMES[:n]), merged=False) for n in (1, 8))
    assert eight / one == pytest.approx(10.6 / 8.2, rel=0.01), "as measured of vLLM"
    assert step_ns({"f0"}, merged=True) < one < eight
    assert step_ns(set(), merged=False) == step_ns({"f0"}, merged=True)


def test_dlora_merges_one_hot_adapter_and_wins_and_many_run_unmerged_together() -> None:
    hot, hot_unmerged = run("dlora", HOT), run("multi-lora", HOT)
    assert kinds(hot)["switch"] >= 1
    assert mean_s(hot) < 0.95 * mean_s(hot_unmerged)
    mixed, mixed_unmerged = run("dlora", MIXED), run("multi-lora", MIXED)
    assert mean_s(mixed) == pytest.approx(mean_s(mixed_unmerged), rel=0.1)


def test_requests_move_with_their_adapters_and_nothing_is_computed_twice() -> None:
    """Every other request is short, so that the replica of those has nothing left to do."""
    load, tokens = [("f0", 0.0)] * 24, [600, 4] * 12
    options = {"replicas": 2, "max_num_seqs": 8, "migration_interval_s": 0.5}
    moved = run("dlora", load, tokens=tokens, options=options, devices=2, max_context_tokens=1024)
    stay = run(
        "dlora", load, tokens=tokens, devices=2, max_context_tokens=1024,
        options={**options, "migration_interval_s": 1e6},
    )  # fmt: skip
    assert kinds(moved)["migrate"] > 0 == kinds(stay)["migrate"]
    assert {each.instance_id for each in moved.system_trace().requests} == {
        "llama2-7b/0",
        "llama2-7b/1",
    }
    assert mean_s(moved) < 0.9 * mean_s(stay)


def test_a_request_that_moves_waits_for_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    free: list[int] = []
    iterate = replica.Replica._iterate

    def watched(self: replica.Replica) -> None:
        free.append(self.slots - sum(each.started for each in self._queue.values()))
        iterate(self)

    monkeypatch.setattr(replica.Replica, "_iterate", watched)
    load = [("f0" if i % 2 else NAMES[i % 8], 0.01 * i) for i in range(120)]
    options = {"replicas": 2, "max_num_seqs": 6, "migration_interval_s": 0.05}
    tokens = [(4, 30, 200)[i * i % 7 % 3] for i in range(120)]
    moved = run("dlora", load, tokens=tokens, options=options, devices=2, max_context_tokens=1024)
    assert kinds(moved)["migrate"] > 0
    assert min(free) == 0
    assert {call.status for call in moved.calls.values()} == {"ok"}


def test_what_a_server_holds_is_held_idle_or_not_and_keys_and_values_come_back() -> None:
    outcome = run("dlora", MIXED)
    system_trace = outcome.system_trace()
    final: dict[MemoryOwner, int] = {}
    for step in system_trace.memory:
        final[step.owner] = step.bytes
    size = outcome.servers[0].server.latency.size
    assert final[MemoryOwner.WEIGHTS] == size.weights_bytes + size.adapted_bytes
    assert final[MemoryOwner.ADAPTERS] == 8 * size.adapter_bytes
    assert final[MemoryOwner.KV] == 0
    peak = max(step.bytes for step in system_trace.memory if step.owner is MemoryOwner.KV)
    assert peak <= 40 * (64 + 40) * size.kv_bytes_per_token
    (held,) = system_trace.activity
    assert held.device == "cuda:0"
    assert held.end_ns > outcome.calls[39].work.last_ns
    assert system_trace.measured["startup_s"] > 7
    assert system_trace.measured["merged_s"] < system_trace.measured["unmerged_s"]


def test_each_backbone_has_a_server_on_a_device_of_its_own() -> None:
    outcome = run("multi-lora", MIXED, backbones=("llama2-7b", "llama2-13b"), devices=4)
    assert [each.replicas[0].device.name for each in outcome.servers] == ["cuda:0", "cuda:1"]
    assert {each.device for each in outcome.system_trace().activity} == {"cuda:0", "cuda:1"}


def test_a_batch_is_what_fits_beside_the_weights_and_one_that_does_not_is_refused() -> None:
    crowd = [("f0", 0.0)] * 64
    outcome = run("multi-lora", crowd, gigabytes=16)
    size = outcome.servers[0].server.latency.size
    assert 1 <= outcome.servers[0].batch < 16
    for step in outcome.system_trace().memory:
        if step.owner is MemoryOwner.KV:
            assert step.bytes <= outcome.servers[0].batch * 512 * size.kv_bytes_per_token
    with pytest.raises(DeploymentError, match=r"cuda:0.*llama2-7b.*max_num_seqs"):
        run("multi-lora", crowd, gigabytes=16, options={"max_num_seqs": 60})
    with pytest.raises(DeploymentError, match=r"llama2-7b room for 0 requests"):
        run("multi-lora", crowd, gigabytes=14)


def test_a_request_that_waits_too_long_is_given_up_and_its_place_is_free_again() -> None:
    """The first takes 8 s, the second is cut in its stream, the others never began."""
    load = [("f0", 0.0)] * 6 + [("f0", 20.0)]
    outcome = run(
        "multi-lora", load, tokens=400, options={"max_num_seqs": 1}, request_timeout_s=10.0
    )
    found = [call.status for call in outcome.calls.values()]
    assert found == ["ok", "error_event", *["timeout"] * 4, "ok"]
    assert outcome.calls[6].work.prefill_ns == outcome.calls[6].received_ns
    assert outcome.seen(5) == {
        "first_token_ns": None, "last_token_ns": None, "output_tokens": None, "status": "timeout",
    }  # fmt: skip


def test_the_same_arrivals_give_the_same_evidence() -> None:
    one, two = (run("dlora", MIXED, options=MOVING).system_trace() for _ in range(2))
    assert one == two


@pytest.mark.parametrize("name", ["multi-lora", "dlora"])
@pytest.mark.parametrize("options", [{}, MOVING])
@pytest.mark.parametrize("timeout_s", [0.5, 600])
def test_steps_that_are_computed_at_once_are_those_of_an_event_each(
    monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any], timeout_s: float
) -> None:
    def outcome() -> Outcome:
        tokens = [5 + 37 * i % 200 for i in range(len(MIXED))]
        devices = options.get("replicas", 1)
        return run(
            name, MIXED, tokens=tokens, options=options, devices=devices,
            request_timeout_s=timeout_s,
        )  # fmt: skip

    def times(of: Outcome) -> list[tuple[str, int, int, int]]:
        calls = of.calls.values()
        return [(c.status, c.work.prefill_ns, c.work.first_ns, c.work.last_ns) for c in calls]

    at_once = outcome()
    monkeypatch.setattr(replica, "_AHEAD", 3)
    few_at_once = outcome()

    def shared(clock: Clock, slots: float, users: int) -> Shared:
        return Shared(clock, slots)

    monkeypatch.setattr(servers, "_shared", shared)
    one_by_one = outcome()
    assert times(at_once) == times(few_at_once) == times(one_by_one)
    assert at_once.memory == one_by_one.memory
    assert at_once.took["decisions"] == one_by_one.took["decisions"]
