"""The device engine for several functions, on the CPU in float32, equals a CPU engine for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from systems.engine.adapter import read_adapter
from systems.engine.cuda.multi import CudaMultiEngine
from systems.engine.cuda.table import AdapterTable
from systems.engine.engine import Engine
from systems.engine.packed import pack
from tests.systems.engine.conftest import load_backbone, pack_all
from tests.systems.engine.driving import answer, collect, drain, mixed, prompts, request

MakeEngine = Callable[..., Engine]
HELD = ("f0", "f1", "f2")
NAMES = ("f1", None, "f0", "f1", "f2")


@pytest.fixture(scope="module")
def shared(tiny: Path, adapters: dict[str, Path]) -> CudaMultiEngine:
    layout, weights = load_backbone(tiny, "float32")
    shape, packed = pack_all({name: adapters[name] for name in HELD}, layout)
    limits = {"max_batch_size": 8, "max_context_tokens": 128}
    table = AdapterTable(shape, len(packed), "cpu")
    engine = CudaMultiEngine(layout.config, weights, table, **limits)
    for name, flat in packed.items():
        engine.hold(name, flat)
    return engine


@pytest.mark.parametrize("one_pass", [False, True])
def test_a_batch_of_several_functions_says_what_each_says_alone(
    one_pass: bool, shared: CudaMultiEngine, make_engine: MakeEngine
) -> None:
    """Some join while others run, whose tokens are computed apart or in one pass."""
    batch = prompts((3, 17, 64, 65, 100))
    answers: dict[int, list[int]] = {}
    asked = [request(n, prompt, 8, adapter=NAMES[n]) for n, prompt in enumerate(batch)]
    collect(answers, shared.prefill(asked[:3]))
    collect(answers, shared.decode({0, 2}))
    if one_pass:
        shared.begin(asked[3:])
        collect(answers, mixed(shared, {0, 1, 2}))
        assert not shared.prefilling
    else:
        collect(answers, shared.prefill(asked[3:]))
    drain(shared, answers)
    alone = [answer(make_engine(name), [batch[n]], 8)[0] for n, name in enumerate(NAMES)]
    assert answers == dict(enumerate(alone))


def test_merged_and_unmerged_say_the_same(shared: CudaMultiEngine, make_engine: MakeEngine) -> None:
    (prompt,) = prompts((24,))
    for name in ("f0", "f2"):
        answers: dict[int, list[int]] = {}
        shared.merge(name)
        collect(answers, shared.prefill([request(0, prompt, 8, adapter=name)]))
        collect(answers, shared.decode())
        shared.merge(None)
        drain(shared, answers)
        assert answers[0] == answer(make_engine(name), [prompt], 8)[0]


def test_a_place_is_taken_by_another_adapter_under_its_own_name(
    shared: CudaMultiEngine, make_engine: MakeEngine, adapters: dict[str, Path]
) -> None:
    (prompt,) = prompts((9,))
    config = shared.shape.config
    f2, f5 = (pack(read_adapter(adapters[name], config), shared.shape) for name in ("f2", "f5"))
    with pytest.raises(ValueError, match="all 3 places are taken"):
        shared.hold("f5", f5)
    shared.drop("f2")
    shared.hold("f5", f5)
    assert answer(shared, [prompt], 6, adapter="f5") == answer(make_engine("f5"), [prompt], 6)
    shared.drop("f5")
    shared.hold("f2", f2)


def test_a_running_request_goes_on_in_another_kind_of_engine(
    shared: CudaMultiEngine, make_engine: MakeEngine
) -> None:
    """A request consists of its keys and values, its last token and its random stream."""
    batch = prompts((20, 7))
    asked = {"temperature": 1.0, "seed": 3}
    wanted = answer(make_engine("f1"), batch[:1], 12, **asked)[0]
    answers: dict[int, list[int]] = {}
    there = make_engine("f1")
    both = [request(n, prompt, 12, adapter="f1", **asked) for n, prompt in enumerate(batch)]
    collect(answers, shared.prefill(both))
    collect(answers, shared.decode())
    there.join(shared.part(0))
    assert shared.running == (1,)
    drain(there, answers)
    assert answers[0] == wanted
    shared.cancel(1)


def test_a_request_for_which_no_slot_is_free_is_refused_before_memory_is_held(
    shared: CudaMultiEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no addresses beyond the slots at which a card could map memory."""
    (prompt,) = prompts((9,))
    shared.prefill([request(9, prompt, 4)])
    parted = shared.part(9)
    shared.prefill([request(n, prompt, 4) for n in range(8)])
    held: list[int] = []
    monkeypatch.setattr(shared._slab, "hold", held.append)
    with pytest.raises(ValueError, match="free slots: 0"):
        shared.join(parted)
    assert (shared.running, held) == (tuple(range(8)), [])
    shared.cancel(0)
    shared.join(parted)
    assert held == [8]
    for number in shared.running:
        shared.cancel(number)
