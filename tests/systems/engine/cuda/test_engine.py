"""The device engine, on the CPU in float32, returns the tokens of the CPU engine and the oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from systems.engine.adapter import read_adapter
from systems.engine.adapter_files import inspect_adapter
from systems.engine.checkpoint import BackboneLayout
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.slot import AdapterSlot
from systems.engine.engine import Engine
from systems.engine.packed import SlotShape, pack
from systems.engine.weights import BackboneWeights
from systems.errors import AdapterError
from tests.systems.engine.conftest import FUNCTIONS
from tests.systems.engine.driving import answer, collect, drain, prompts, request
from tests.systems.engine.neighbours import free_positions_hold_zeros

Backbone = tuple[BackboneLayout, BackboneWeights]
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Made:
    """Makes engines on one backbone, and the packed adapters for their slots."""

    def __init__(self, backbone: Backbone, adapters: dict[str, Path]) -> None:
        self.layout, self.weights = backbone
        self.adapters = adapters
        ranks = [inspect_adapter(path, self.layout.config).rank for path in adapters.values()]
        self.shape = SlotShape.of(self.layout.config, max(ranks), TARGETS, torch.float32)

    def packed(self, function: str) -> torch.Tensor:
        path = self.adapters[function]
        return pack(read_adapter(path, self.layout.config), self.shape)

    def engine(self, function: str | None = None, **limits: int) -> tuple[CudaEngine, AdapterSlot]:
        slot = AdapterSlot(self.shape, "cpu")
        if function:
            slot.put(self.packed(function))
        bounds = {"max_batch_size": 8, "max_context_tokens": 128, **limits}
        return CudaEngine(self.layout.config, self.weights, slot, **bounds), slot


@pytest.fixture(scope="module")
def made(backbone: Backbone, adapters: dict[str, Path]) -> Made:
    return Made(backbone, adapters)


@pytest.mark.parametrize("function", FUNCTIONS[:4])
def test_answers_are_those_of_the_cpu_engine(
    function: str | None, made: Made, make_engine: Callable[..., Engine]
) -> None:
    batch = prompts((3, 17, 64, 65, 100))
    device, _ = made.engine(function)
    assert answer(device, batch, 12) == answer(make_engine(function), batch, 12)


@pytest.mark.parametrize("function", FUNCTIONS[:2])
def test_answers_are_those_of_transformers_and_peft(
    function: str | None, made: Made, oracle: Callable[[str | None], Any]
) -> None:
    (prompt,) = prompts((20,))
    device, _ = made.engine(function)
    ids = torch.tensor([prompt])
    wanted = (
        oracle(function)
        .generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=16,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )[0, len(prompt) :]
        .tolist()
    )
    assert answer(device, [prompt], 16) == [wanted]


def test_a_slot_serves_one_adapter_after_another_from_the_same_addresses(
    made: Made, make_engine: Callable[..., Engine]
) -> None:
    batch = prompts((9, 30))
    device, slot = made.engine()
    for function in ("f0", "f3", "f0"):
        slot.put(made.packed(function))
        assert answer(device, batch, 6) == answer(make_engine(function), batch, 6)
    slot.clear()
    assert answer(device, batch, 6) == answer(make_engine(), batch, 6)


def test_an_adapter_too_large_for_the_slot_is_refused(made: Made) -> None:
    config = made.layout.config
    adapter = read_adapter(made.adapters["f0"], config)
    with pytest.raises(AdapterError, match=r"needs a slot of rank 16 .* this one has rank 1 on"):
        pack(adapter, SlotShape.of(config, 1, TARGETS, torch.float32))


@pytest.mark.parametrize("stored_as", [torch.float32, torch.float16])
def test_a_slot_loads_from_the_stored_form_what_packing_makes_of_it(
    made: Made, stored_as: torch.dtype
) -> None:
    stored = read_adapter(made.adapters["f1"], made.layout.config)
    pairs = {
        each: replace(pair, a=pair.a.to(stored_as), b=pair.b.to(stored_as))
        for each, pair in stored.pairs.items()
    }
    packed, placed = AdapterSlot(made.shape, "cpu"), AdapterSlot(made.shape, "cpu")
    packed.put(pack(replace(stored, pairs=pairs), made.shape))
    placed.rehearse()
    placed.load(replace(stored, pairs=pairs))
    for name in made.shape.matrices:
        found, wanted = placed.at(name, 1), packed.at(name, 1)
        assert found is not None
        assert wanted is not None
        for half in ("a", "b", "bounds"):
            assert torch.equal(getattr(found, half), getattr(wanted, half))


def test_batch_mates_that_come_and_go_change_nothing(
    made: Made, make_engine: Callable[..., Engine]
) -> None:
    first, second, third = prompts((40, 7, 90))
    alone = [answer(make_engine("f1"), [prompt], 10)[0] for prompt in (first, second, third)]
    device, _ = made.engine("f1")
    answers: dict[int, list[int]] = {}
    collect(answers, device.prefill([request(0, first, 10)]))
    collect(answers, device.decode())
    collect(answers, device.prefill([request(1, second, 10), request(2, third, 10)]))
    drain(device, answers)
    assert answers == dict(enumerate(alone))


def test_a_freed_slot_is_taken_by_the_last_and_memory_is_accounted_for(made: Made) -> None:
    device, _ = made.engine()
    device.prefill([request(n, prompt, 9) for n, prompt in enumerate(prompts((10, 20, 30)))])
    assert device.kv_bytes == 60 * device.kv_bytes_per_token <= device.reserved_bytes
    assert device.cancel(0)
    assert device.running == (2, 1)
    answers: dict[int, list[int]] = {}
    drain(device, answers)
    assert answers.keys() == {1, 2}
    assert device.kv_bytes == 0


def test_a_request_that_begins_before_the_next_step_takes_the_memory_of_one_that_ended(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is unmapped only when the device has finished what was queued for it."""

    class Mapped:
        held, maps, waited = 1, 0, 0

        def hold(self, slots: int) -> None:
            self.maps += max(slots - self.held, 0)
            self.held = max(slots, self.held)

        def give_back(self, slots: int) -> None:
            assert mapped.waited, "for the device"
            self.held, self.waited = slots, 0

        def wait(self) -> None:
            self.waited = 1

    device, _ = made.engine("f0")
    mapped = Mapped()
    monkeypatch.setattr(device._slab, "_memory", mapped)
    monkeypatch.setattr(torch.cuda, "synchronize", mapped.wait)
    first, second, third, fourth = prompts((9,) * 4)
    device.prefill([request(0, first, 2), request(1, second, 8), request(2, third, 2)])
    assert [event.finished for event in device.decode()] == ["length", None, "length"]
    assert mapped.held == 3
    device.prefill([request(3, fourth, 2)])
    assert (mapped.held, mapped.maps) == (2, 2), "of three, one was taken and one given back"
    device.decode()
    assert mapped.held == 2
    device.decode()
    assert mapped.held == 1
    device.prefill([request(4, first, 1)])
    device.cancel(1)
    assert (device.running, mapped.held) == ((), 1)


def test_preparing_ends_and_leaves_no_trace(made: Made, make_engine: Callable[..., Engine]) -> None:
    batch = prompts((12, 50))
    device, _ = made.engine("f2")
    assert device.prepare()
    answer(device, batch, 8)  # what it leaves in the input buffers is not run again
    while device.prepare():
        assert device.kv_bytes == 0
    assert free_positions_hold_zeros(device)
    assert not device.prepare()
    assert answer(device, batch, 8) == answer(make_engine("f2"), batch, 8)


def test_nothing_is_prepared_beside_what_runs(made: Made) -> None:
    device, _ = made.engine("f2")
    assert device.prepare()
    device.prefill([request(0, prompts((12,))[0], 4)])
    assert not device.prepare()
    device.cancel(device.running[0])
    assert device.prepare()
