"""Every form of adapter gives peft's tokens and logits: alone, beside others, merged, and in a
place that another form had before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from systems.engine.adapter import load_adapter, read_adapter
from systems.engine.attention import PromptAttention
from systems.engine.batching import Batching
from systems.engine.checkpoint import BackboneLayout
from systems.engine.cross import CrossEngine
from systems.engine.cuda.cross import CudaCrossEngine
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.multi import CudaMultiEngine
from systems.engine.cuda.slot import AdapterSlot
from systems.engine.cuda.staging import moved
from systems.engine.cuda.table import AdapterTable
from systems.engine.engine import Engine
from systems.engine.forward import Forward
from systems.engine.kv_cache import KVCache
from systems.engine.multi import MultiEngine
from systems.engine.packed import SlotShape, pack, unpack
from systems.engine.pieces import Piece
from systems.engine.projections import BLOCKS
from systems.engine.weights import BackboneWeights
from systems.models import FORMS, ensure_form

from .conftest import load_backbone, load_oracle, pack_all
from .driving import answer, collect, drain, left_padded, prompts, request

Backbone = tuple[BackboneLayout, BackboneWeights]
Answers = dict[str, list[list[int]]]
LIMITS = {"max_batch_size": 8, "max_context_tokens": 128}
LENGTHS, TOKENS, RANK = (9, 30), 8, 12
NAMES = tuple(FORMS)


@pytest.fixture(scope="module")
def paths(tiny: Path) -> dict[str, Path]:
    return {form: ensure_form(tiny, [form], form, RANK)[form] for form in NAMES}


@pytest.fixture(scope="module")
def group(backbone: Backbone, paths: dict[str, Path]) -> tuple[SlotShape, dict[str, Tensor]]:
    return pack_all(paths, backbone[0])


@pytest.fixture(scope="module")
def oracle_of(tiny: Path, paths: dict[str, Path]) -> Callable[[str], Any]:
    return cache(lambda form: load_oracle(tiny, paths[form]))


@pytest.fixture(scope="module")
def wanted(oracle_of: Callable[[str], Any]) -> Answers:
    """The tokens of peft, by form."""
    batch = prompts(LENGTHS)
    return {form: left_padded(oracle_of(form), batch, TOKENS) for form in NAMES}


def test_forms_differ(wanted: Answers) -> None:
    assert len({str(each) for each in wanted.values()}) == len(NAMES)


def logits(layout: BackboneLayout, weights: BackboneWeights, adapter: Any) -> Tensor:
    """Return the logits of a prompt on cores, at every position."""
    forward, cache_ = Forward(layout.config, weights, adapter, 64), KVCache(layout.config, 1, 64)
    (prompt,) = prompts((40,))
    attention = PromptAttention(layout.config, cache_, [Piece(0, 0, prompt, final=True)])
    with torch.inference_mode():
        return forward(torch.tensor(prompt), torch.arange(40), attention)


@pytest.mark.parametrize("form", NAMES)
def test_layers_that_are_alike_are_packed_together_as_they_are_alone(
    form: str,
    backbone: Backbone,
    paths: dict[str, Path],
    group: tuple[SlotShape, dict[str, Tensor]],
) -> None:
    stored, shape = read_adapter(paths[form], backbone[0].config), group[0]
    sizes: list[int] = []

    def move(groups: Any, device: torch.device) -> list[Tensor]:
        sizes.extend(map(len, groups))
        return moved(groups, device)

    together = pack(stored, shape, torch.empty(shape.nbytes, dtype=torch.uint8), move)
    assert torch.equal(together, group[1][form])
    alone = 2 * len(stored.pairs)
    assert sum(sizes) == alone
    assert len(sizes) < alone or form in ("ranks-by-pattern", "some-layers", "by-regex"), sizes


@pytest.mark.parametrize("form", NAMES)
def test_alone_its_logits_and_tokens_are_those_of_peft(
    form: str,
    backbone: Backbone,
    paths: dict[str, Path],
    group: tuple[SlotShape, dict[str, Tensor]],
    oracle_of: Callable[[str], Any],
    wanted: Answers,
) -> None:
    layout, weights = backbone
    loaded = load_adapter(paths[form], layout.config, "float32")
    with torch.inference_mode():
        expected = oracle_of(form)(input_ids=torch.tensor(prompts((40,)))).logits[0]
    for adapter in (loaded, unpack(group[1][form], group[0])):
        torch.testing.assert_close(logits(layout, weights, adapter), expected, rtol=0, atol=2e-4)
    engine = Engine(layout.config, weights, loaded, **LIMITS)
    assert answer(engine, prompts(LENGTHS), TOKENS) == wanted[form]


@pytest.mark.parametrize("form", NAMES)
def test_in_a_slot_of_its_own_its_tokens_are_those_of_peft(
    form: str, backbone: Backbone, paths: dict[str, Path], wanted: Answers
) -> None:
    (layout, weights), stored = backbone, read_adapter(paths[form], backbone[0].config)
    slot = AdapterSlot(
        SlotShape.of(layout.config, stored.rank, stored.targets, torch.float32), "cpu"
    )
    slot.load(stored)
    engine = CudaEngine(layout.config, weights, slot, **LIMITS)
    assert answer(engine, prompts(LENGTHS), TOKENS) == wanted[form]


Make = Callable[[Backbone, SlotShape, int], Any]


def on_cores(backbone: Backbone, shape: SlotShape, places: int) -> CrossEngine:
    layout, weights = backbone
    return CrossEngine(layout.config, weights, shape, places, **LIMITS)


def on_device(backbone: Backbone, shape: SlotShape, places: int) -> CudaCrossEngine:
    layout, weights = backbone
    table = AdapterTable(shape, places, "cpu")
    return CudaCrossEngine(layout.config, weights, table, **LIMITS)


EACH = pytest.mark.parametrize("make", [on_cores, on_device])


@EACH
def test_beside_all_others_each_says_what_peft_says(
    make: Make, backbone: Backbone, group: tuple[SlotShape, dict[str, Tensor]], wanted: Answers
) -> None:
    shape, packed = group
    engine = make(backbone, shape, len(NAMES))
    for form in NAMES:
        engine.hold(form, packed[form])
    for index, prompt in enumerate(prompts(LENGTHS)):
        answers: dict[int, list[int]] = {}
        asked = [request(n, prompt, TOKENS, adapter=form) for n, form in enumerate(NAMES)]
        collect(answers, engine.prefill(asked[:3]))
        collect(answers, engine.decode())
        collect(answers, engine.prefill([*asked[3:], request(99, prompt, TOKENS)]))
        drain(engine, answers)
        bare = answers.pop(99)
        assert answers == {n: wanted[form][index] for n, form in enumerate(NAMES)}
        assert bare not in answers.values()


@EACH
def test_a_place_keeps_nothing_of_the_form_that_had_it(
    make: Make, backbone: Backbone, group: tuple[SlotShape, dict[str, Tensor]], wanted: Answers
) -> None:
    """Also not in layers and projections that the next adapter does not change."""
    shape, packed = group
    engine = make(backbone, shape, 1)
    batch = prompts(LENGTHS)
    bare = answer(engine, batch, TOKENS)
    for form in ("all-linear", "some-layers", "ranks-by-pattern", "by-regex", "plain"):
        engine.hold(form, packed[form])
        assert answer(engine, batch, TOKENS, adapter=form) == wanted[form]
        engine.drop(form)
        assert answer(engine, batch, TOKENS) == bare


def test_a_slot_keeps_nothing_of_the_form_that_had_it(
    backbone: Backbone, paths: dict[str, Path], wanted: Answers
) -> None:
    layout, weights = backbone
    slot = AdapterSlot(SlotShape.of(layout.config, RANK, BLOCKS, torch.float32), "cpu")
    engine = CudaEngine(layout.config, weights, slot, **LIMITS)
    for form in ("all-linear", "some-layers", "ranks-by-pattern", "by-regex"):
        slot.load(read_adapter(paths[form], layout.config))
        assert answer(engine, prompts(LENGTHS), TOKENS) == wanted[form]


@pytest.fixture(scope="module")
def own(tiny: Path) -> Backbone:
    """A backbone that may be written."""
    return load_backbone(tiny, "float32")


@pytest.fixture(scope="module", params=["cores", "device"])
def merging(
    request: pytest.FixtureRequest, own: Backbone, group: tuple[SlotShape, dict[str, Tensor]]
) -> Iterator[Batching]:
    (layout, weights), (shape, packed) = own, group
    engine: Any
    if request.param == "cores":
        engine = MultiEngine(layout.config, weights, shape, len(NAMES), **LIMITS)
    else:
        table = AdapterTable(shape, len(NAMES), "cpu")
        engine = CudaMultiEngine(layout.config, weights, table, **LIMITS)
    for form in NAMES:
        engine.hold(form, packed[form])
    yield engine
    engine.merge(None)


@pytest.mark.parametrize("form", NAMES)
def test_merged_it_says_what_peft_says(form: str, merging: Any, wanted: Answers) -> None:
    """One after another: what a merge leaves behind would be seen in the next."""
    merging.merge(form)
    assert answer(merging, prompts(LENGTHS), TOKENS, adapter=form) == wanted[form]


@pytest.mark.parametrize("form", ["ranks-by-pattern", "some-layers"])
def test_ranks_and_bounds_of_a_place_follow_from_the_adapter(
    form: str, backbone: Backbone, paths: dict[str, Path]
) -> None:
    """Kernels are specialised for addresses that are multiples of 16 bytes: all layers must have
    those that the first has, for which kernels are compiled at deployment."""
    config, stored = backbone[0].config, read_adapter(paths[form], backbone[0].config)
    shape = SlotShape.of(config, RANK, BLOCKS, torch.float16)
    for places in (1, 3):
        table = AdapterTable(shape, places, "cpu")
        table.hold(form, pack(stored, shape))
        number = table.places.number(form)
        for name, spans in shape.spans.items():
            for layer in range(config.num_layers):
                found = table.at(name, layer)
                assert found is not None
                assert found.bounds.is_contiguous()
                assert {each.data_ptr() % 16 for each in (found.a, found.b, found.bounds)} == {0}
                ranks = found.bounds[number - 1].diff().tolist()
                pairs = [stored.pairs.get((layer, span.target)) for span in spans]
                assert ranks == [pair.rank if pair else 0 for pair in pairs]
