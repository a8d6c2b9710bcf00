"""Functions that share instances, in virtual time: what their requests wait for, what their batches
cost, and what policies make of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from systems.interface import RequestTrace, Stage, StartType
from systems.models.sizes import model_size
from systems.serverless.core.cluster_spec import HOST
from systems.serverless.core.policies.batching import Batching, FillOrExpire, FirstComeFirstServed
from systems.serverless.core.policies.offloading import LeastRecentlyUsed, NoOffloading
from systems.serverless.core.policies.preloading import ByDensity, NoPreloading
from systems.serverless.core.policies.scaling import DelayedAsLong, WaitedAsLong
from systems.serverless.simulated.adapters import AdapterLoad
from systems.simulation.clock import Clock, Shared
from systems.simulation.latency_model import LatencyModel
from systems.simulation.profile import ProfileError, load_profile

from .shared import H100, arrivals, hot, run, tpot_s, ttft_s, zipf

MODEL = LatencyModel.of_grouped(
    *H100.of_grouped("float16"), model_size("llama2-7b", "float16", 16, "cuda")
)


class OnDemandAdapters(ByDensity):
    """ServerlessLoRA's pre-loading, but of no adapters into free places."""

    name = "on-demand-adapters"

    def adapters(self, *_: Any) -> Sequence[str]:
        return ()


def adapter_ns(request: RequestTrace) -> int:
    spans = [span for span in request.spans if span.stage.value == "adapter"]
    return sum(span.end_ns - span.start_ns for span in spans)


def test_a_request_waits_for_its_own_adapter_only() -> None:
    first, missing, present = (
        run(arrivals([("f0", 0), ("f1", 5), ("f0", 5.01)])).system_trace().requests
    )
    assert first.start_type is StartType.COLD
    assert missing.start_type is StartType.WARM
    assert adapter_ns(missing) == pytest.approx(MODEL.parse_ns() + MODEL.adapter_ns(), abs=2)
    assert present.start_type is StartType.HOT
    assert adapter_ns(present) == 0
    assert {missing.instance_id, present.instance_id} == {first.instance_id}


def test_what_others_load_while_a_request_is_queued_is_no_stage_of_it() -> None:
    """Two adapters are loaded while a large batch is in its prefill."""
    load = [("f0", 0.0), ("f1", 5.0), ("f2", 5.02), *[("f0", 5.11)] * 30]
    waited = run(arrivals(load), functions=3).system_trace().requests[1]
    assert adapter_ns(waited) == pytest.approx(MODEL.parse_ns() + MODEL.adapter_ns(), abs=2)
    assert "queue" in {span.stage.value for span in waited.spans}


def test_an_adapter_is_parsed_once_on_a_host_and_then_copied() -> None:
    outcome = run(arrivals([("f0", 0), ("f1", 5), ("f0", 10)]), options={"adapter_places": 1})
    again = outcome.system_trace().requests[2]
    assert again.start_type is StartType.WARM
    assert adapter_ns(again) == pytest.approx(MODEL.adapter_ns(), abs=2)


def test_parsed_adapters_are_host_memory_on_a_card() -> None:
    outcome = run(arrivals([("f0", 0), ("f1", 60)]))
    steps = outcome.system_trace().memory
    template, *tier = [s.bytes for s in steps if s.device == HOST and s.function_id is None]
    (latency,) = outcome.platform.machine.latency.values()
    assert [held - template for held in tier] == [n * latency.size.adapter_bytes for n in (1, 2)]


def test_an_adapter_is_parsed_while_its_instance_starts() -> None:
    (first,) = run(arrivals([("f0", 0)])).system_trace().requests
    assert first.start_type is StartType.COLD
    assert adapter_ns(first) == pytest.approx(MODEL.adapter_ns(), abs=2)


def test_adapters_may_be_parsed_at_deployment() -> None:
    load = arrivals([("f0", 5), ("f1", 10)])
    options = {"adapters_at_deployment": True, "adapter_places": 1}
    early = run(load, options=options).system_trace().requests[1]
    assert early.start_type is StartType.WARM
    assert adapter_ns(early) == pytest.approx(MODEL.adapter_ns(), abs=2)


def test_with_a_place_for_each_the_first_call_of_a_second_function_is_hot() -> None:
    load = arrivals([("f0", 5), ("f1", 10)])
    second = run(load, options={"adapters_at_deployment": True}).system_trace().requests[1]
    assert second.start_type is StartType.HOT


@pytest.mark.parametrize("batching", [FillOrExpire, FirstComeFirstServed])
def test_what_comes_during_a_prefill_follows_at_once_if_the_batching_policy_says_so(
    batching: type[Batching],
) -> None:
    """The first two requests come 2 ms apart, when all is there."""
    load = arrivals([("f0", 0.0), ("f0", 5.0), ("f0", 5.002)], tokens=16)
    _, first, second = run(load, policies={"batching": batching}).system_trace().requests
    ends_ns, begins_ns = first.spans[-2].end_ns, second.spans[-2].start_ns
    assert (begins_ns == ends_ns) is batching.back_to_back
    assert begins_ns - ends_ns in (0, pytest.approx(MODEL.step_ns(1), rel=0.02))


def test_what_joins_a_batch_that_waits_for_a_decode_step_counts_in_its_size() -> None:
    """Two requests come in one decode step of an earlier one, which takes longer than they are
    apart."""
    load = arrivals([("f0", 0), ("f1", 20), ("f0", 21), ("f1", 21.0002), ("f0", 40)], tokens=600)
    options = {"adapters_at_deployment": True}
    *_, one, other, last = run(load, options=options).system_trace().requests
    both = (one, other)
    begun = {span.start_ns for each in both for span in each.spans if span.stage is Stage.PREFILL}
    assert (len(begun), [each.batch_size for each in both], last.batch_size) == (1, [2, 2], 1)


@pytest.mark.parametrize(("scaling", "cards"), [(WaitedAsLong, 1), (DelayedAsLong, 2)])
def test_a_load_that_one_card_carries_is_spread_where_the_scaling_policy_says_so(
    scaling: type[WaitedAsLong], cards: int
) -> None:
    """On one card it is cheaper, and its answers take longer."""
    load = arrivals([(f"f{n % 4}", 0.02 * n) for n in range(20)], tokens=64)
    outcome = run(
        load,
        functions=4,
        devices=2,
        profile=load_profile("h100x4"),
        policies={"scaling": scaling},
        options={"prewarmed": 1, "backbones_at_deployment": "every-device"},
    )
    assert len({request.instance_id for request in outcome.system_trace().requests}) == cards


def test_a_request_waits_while_a_prewarmed_process_becomes_a_shared_instance() -> None:
    """Live, its messages alone take about a millisecond, and the controller sees the wait."""
    options: dict[str, Any] = {"prewarmed": 1, "backbones_at_deployment": "every-device"}
    options["adapters_at_deployment"] = True
    load = arrivals([("f0", 0)])
    first, *_ = run(load, options=options).system_trace().requests
    assert H100.remap_s is not None
    mapped_ns = sum(s.end_ns - s.start_ns for s in first.spans if s.stage is Stage.BACKBONE)
    assert mapped_ns == pytest.approx(H100.remap_s.value * 1e9)


@pytest.mark.parametrize("tenants", [1, 2])
def test_delayed_as_long_takes_the_cards_that_are_empty(tenants: int) -> None:
    """Of two tenants, each has a card; the only one has both, although it was alone at first and
    nothing ever waited for as long as a start."""
    options: dict[str, Any] = {"prewarmed": tenants, "backbones_at_deployment": "every-device"}
    options["adapters_at_deployment"] = True
    later = [(f"f{n % 4}", 60 + n / 16) for n in range(160)]
    outcome = run(
        arrivals([("f0", 0.0), ("f1", 2.0), *later], tokens=64),
        functions=4,
        devices=2,
        isolation="tenant",
        tenants=tenants,
        policies={"scaling": DelayedAsLong},
        options=options,
    )
    requests = outcome.system_trace().requests
    assert len({each.instance_id for each in requests[:2]}) == tenants
    assert len({each.instance_id for each in requests}) == 2


def test_adapters_of_deployment_are_parsed_until_the_load_begins() -> None:
    load, options = arrivals([("f1", 0)]), {"adapters_at_deployment": True, "prewarmed": 1}
    options["backbones_at_deployment"] = True
    at_once = H100.tier_bytes_per_s.model_copy(update={"value": 1e18})
    soon = H100.model_copy(update={"tier_bytes_per_s": at_once})
    parsed, unparsed = (
        run(load, options=options, profile=soon.model_copy(update={"before_load_s": before_s}))
        for before_s in (H100.before_load_s, None)
    )
    waited_ns = [adapter_ns(each.system_trace().requests[0]) for each in (parsed, unparsed)]
    assert waited_ns[0] == pytest.approx(MODEL.adapter_ns(), abs=2)
    assert waited_ns[1] > 2 * waited_ns[0]


def test_what_deployment_made_is_held_from_the_start_of_the_load() -> None:
    options = {"adapters_at_deployment": True, "backbones_at_deployment": True, "prewarmed": 1}
    steps = run(arrivals([("f0", 3)]), options=options).system_trace().memory
    assert H100.before_load_s is not None, "the clock starts before the load"
    assert min(step.t_ns for step in steps) == 0
    held = {step.device: step.bytes for step in steps if step.t_ns == 0 and step.bytes}
    assert held.keys() == {"cuda:0", HOST}


def test_a_prewarmed_process_becomes_a_shared_instance_before_it_has_an_adapter() -> None:
    """The second request wakes the instance, whose process is replaced."""
    options: dict[str, Any] = {"prewarmed": 1, "backbones_at_deployment": True}
    options["adapters_at_deployment"] = True
    load, policies = arrivals([("f0", 5), ("f0", 40)]), {"preloading": OnDemandAdapters}
    started, woken = run(load, options=options, policies=policies).system_trace().requests
    assert (started.start_type, woken.start_type) == (StartType.COLD, StartType.WARM)
    for request in (started, woken):
        kernels = [span for span in request.spans if span.stage.value == "kernels"]
        assert sum(span.end_ns - span.start_ns for span in kernels) == 0
        assert adapter_ns(request) == pytest.approx(MODEL.adapter_ns(), abs=2)


def test_an_adapter_takes_longer_to_parse_the_larger_it_is() -> None:
    large, small = (
        LatencyModel.of_grouped(
            *H100.of_grouped("float16"), model_size("llama2-7b", "float16", rank, "cuda")
        )
        for rank in (16, 2)
    )
    fork_ns = H100.fork_s.value * 1e9
    assert small.parse_ns() > fork_ns
    assert large.parse_ns() - fork_ns == pytest.approx(8 * (small.parse_ns() - fork_ns), rel=0.01)


def test_the_template_is_there_for_adapters_at_deployment() -> None:
    options = {"adapters_at_deployment": True, "template_at_deployment": False}
    first, _ = run(arrivals([("f0", 5), ("f1", 10)]), options=options).system_trace().requests
    assert "libraries" not in {span.stage.value for span in first.spans}


def test_a_parser_without_a_template_imports_the_libraries() -> None:
    load, policies = arrivals([("f0", 0), ("f1", 15)]), {"preloading": NoPreloading}
    called = run(load, policies=policies).system_trace().requests[1]
    imports_ns = H100.libraries_s.value * 1e9
    alone_ns = MODEL.parse_ns() + MODEL.adapter_ns()
    assert adapter_ns(called) == pytest.approx(imports_ns + alone_ns, abs=2)


def test_an_adapter_that_is_called_is_parsed_before_those_of_deployment() -> None:
    load, options = arrivals([("f50", 0)]), {"adapters_at_deployment": True}
    called, alone = (
        run(load, functions=functions, options=options).system_trace().requests[0]
        for functions in (2000, 51)
    )
    assert adapter_ns(called) == adapter_ns(alone) == pytest.approx(MODEL.adapter_ns(), abs=2)


def test_an_adapter_that_left_the_host_tier_is_parsed_again() -> None:
    tiny = {"adapter_places": 1, "adapter_tier_gib": 0.0}
    outcome = run(arrivals([("f0", 0), ("f1", 5), ("f0", 10)]), options=tiny)
    again = outcome.system_trace().requests[2]
    assert adapter_ns(again) == pytest.approx(MODEL.parse_ns() + MODEL.adapter_ns(), abs=2)


def test_a_place_that_is_freed_leaves_the_link_to_others() -> None:
    clock, ended = Clock(), []
    link = Shared(clock, 1)
    first, second = (
        AdapterLoad(clock, link, MODEL, lambda: ended.append(clock.now)) for _ in range(2)
    )
    first.copy()
    second.copy()
    clock.run_until(round(MODEL.adapter_ns()))
    first.drop()
    clock.run()
    assert ended == [pytest.approx(1.5 * MODEL.adapter_ns(), abs=3)], "half its way shared"


def test_places_are_lost_with_sleep_and_filled_again() -> None:
    """The request that wakes an instance after its keep-alive also needs its adapter."""
    woken = run(arrivals([("f0", 0), ("f0", 20)])).system_trace().requests[1]
    assert woken.start_type is StartType.WARM
    assert adapter_ns(woken) == pytest.approx(MODEL.adapter_ns(), abs=2)


def test_a_batch_of_several_adapters_takes_longer_than_of_one() -> None:
    warm = [("f0", 0.0), ("f1", 5.0)]
    of_one = run(arrivals([*warm, ("f0", 10), ("f0", 10)], 32)).platform.calls
    of_two = run(arrivals([*warm, ("f0", 10), ("f1", 10)], 32)).platform.calls
    steps = [calls[2].work.last_ns - calls[3].work.first_ns for calls in (of_one, of_two)]
    assert steps[1] / steps[0] == pytest.approx(1 + MODEL.adapter_share, rel=1e-3)


def test_prompts_are_computed_in_pieces_where_a_number_is_given() -> None:
    load = arrivals([("f0", 0), ("f1", 5), ("f0", 10), ("f1", 10.02)], 32)
    prefill = {}
    for pieces in ("auto", 64):
        options = {"prompt_piece_tokens": pieces, "mixed_passes": False}
        late = run(load, options=options).platform.calls[3].work
        prefill[pieces] = late.first_ns - late.prefill_ns
    assert prefill["auto"] == pytest.approx(MODEL.prefill_ns(1, 128), abs=2)
    expected = 2 * MODEL.prefill_ns(1, 64) + MODEL.step_ns(1, context=130)
    assert prefill[64] == pytest.approx(expected, abs=10_000), "the step's context, within a few"


def test_a_profile_that_does_not_know_shared_instances_says_so() -> None:
    with pytest.raises(ProfileError, match=r"cpu-small has no numbers of \[grouped.float16\]"):
        run(arrivals([("f0", 0)]), profile=load_profile("cpu-small"))
    run(arrivals([("f0", 0)]), profile=load_profile("cpu-small"), isolation="function")


def test_fewer_tenants_answer_sooner() -> None:
    """The price of isolation: eight functions as eight, four, two tenants and one."""
    load = arrivals(zipf(8, 200, per_second=8), 32)
    runs = [run(load, functions=8, isolation="tenant", tenants=n) for n in (8, 4, 2, 1)]
    ttfts, tpots = [ttft_s(each) for each in runs], [tpot_s(each) for each in runs]
    assert ttfts == sorted(ttfts, reverse=True)
    assert tpots == sorted(tpots, reverse=True)
    one = run(load, functions=8, isolation="backbone")
    assert (ttft_s(one), tpot_s(one)) == (ttfts[-1], tpots[-1]), "one tenant is all of the backbone"


def test_what_a_group_shares_is_recorded_under_its_id() -> None:
    """Two tenants with two functions each: of the device, only backbone and template have no id."""
    load = arrivals([("f0", 0), ("f1", 1), ("f2", 2), ("f3", 3)])
    trace = run(load, functions=4, isolation="tenant", tenants=2).system_trace()
    groups = {"t0@llama2-7b", "t1@llama2-7b"}
    assert {each.function_id for each in trace.activity} == groups
    by_owner: dict[str, set[str | None]] = {}
    for step in trace.memory:
        by_owner.setdefault(step.owner.value, set()).add(step.function_id)
    assert by_owner["adapters"] == by_owner["kv"] == groups
    assert by_owner["weights"] == {None}
    assert by_owner["context"] - {None} == groups


@pytest.fixture(scope="module")
def bursts() -> dict[str, Any]:
    """1,000 functions over 64 places, ten seconds of load in every thirty-five: the instance sleeps
    between. ServerlessLoRA, and with one policy replaced."""
    load = [(name, at_s + 25 * (at_s // 10)) for name, at_s in zipf(1000, 1200, per_second=20)]
    variants = {
        "full": {},
        "least-recently-used": {"offloading": LeastRecentlyUsed},
        "no-offloading": {"offloading": NoOffloading},
        "on-demand": {"preloading": OnDemandAdapters},
    }
    return {
        name: run(arrivals(load, 32), functions=1000, policies=policies)
        for name, policies in variants.items()
    }


def test_a_thousand_functions_share_the_places_of_an_instance(bursts: dict[str, Any]) -> None:
    for outcome in bursts.values():
        assert {call.status for call in outcome.platform.calls.values()} == {"ok"}
    functions = {call.function for call in bursts["full"].platform.calls.values()}
    assert len(functions) > 5 * 64, "places turn over"


def test_value_density_keeps_the_adapters_that_are_called_again(bursts: dict[str, Any]) -> None:
    full, recent, none = (bursts[n] for n in ("full", "least-recently-used", "no-offloading"))
    assert hot(full) > hot(recent) + 0.02
    assert ttft_s(full) < ttft_s(recent) < ttft_s(none) / 5


def test_adapters_are_in_place_before_they_are_called(bursts: dict[str, Any]) -> None:
    assert hot(bursts["full"]) > hot(bursts["on-demand"]) + 0.05
    assert ttft_s(bursts["full"]) < ttft_s(bursts["on-demand"])
