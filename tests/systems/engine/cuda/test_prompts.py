"""Which passes a device engine computes prompts in, and that all of them are prepared."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from torch import Tensor

from systems.engine.checkpoint import BackboneLayout
from systems.engine.cuda.buckets import batch_bucket, mixed_row_bucket, mixed_rows
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.graphs import Body, Outputs, Step
from systems.engine.cuda.prompts import BOUNDS, PATIENCE, PromptShape, most_rows, next_pieces
from systems.engine.pieces import Piece
from systems.engine.requests import GenerationRequest
from systems.engine.weights import BackboneWeights
from tests.systems.engine.cuda.test_engine import Made
from tests.systems.engine.driving import prompts, request


def taken(lengths: tuple[int, ...], most: int) -> list[int]:
    """The lengths of the pieces of the next pass over new prompts."""
    longest = min(most, 512)
    each = (Piece.of(slot, (1,) * length, 0, longest) for slot, length in enumerate(lengths))
    return [len(piece.ids) for piece in next_pieces(each, most)]


@pytest.mark.parametrize(
    ("lengths", "most", "wanted"),
    [
        ((30,) * 16, 1024, [30] * 16),
        ((30,) * 17, 1024, [30] * 16),
        ((30,) * 16, 512, [30] * 8),
        ((100, 500, 20), 1024, [100, 500, 20]),
        ((100, 500, 300, 70), 1024, [100, 500, 300]),
        ((65,) * 9, 1024, [65] * 8),
        ((30, 30, 512), 1024, [30, 30, 512]),
        ((513, 30), 1024, [512]),
        ((30, 513), 1024, [30]),
        ((65,), 64, [64]),
    ],
)
def test_short_prompts_run_together_and_long_ones_in_pieces(
    lengths: tuple[int, ...], most: int, wanted: list[int]
) -> None:
    assert taken(lengths, most) == wanted


@pytest.mark.parametrize("piece", [64, 512])
def test_no_load_has_a_shape_that_was_not_prepared(
    piece: int,
    backbone: tuple[BackboneLayout, BackboneWeights],
    adapters: dict[str, Path],
) -> None:
    """The first pass of a shape loads kernels, for which all requests would wait."""
    limits = {"max_batch_size": 4, "max_context_tokens": 700, "piece_tokens": piece}
    engine, _ = Made(backbone, adapters).engine("f1", **limits)
    while engine.prepare():
        pass
    prepared = set(engine._prompts._steps), set(engine._steps)
    for lengths in ((1,), (64, 3), (65, 9, 120), (200,) * 4, (512, 400), (513, 8), (699, 690)):
        for whole in (True, False):
            engine.begin([request(n, p, 3) for n, p in enumerate(prompts(lengths))])
            while engine.prefilling:
                engine.advance(whole=whole)
                engine.decode()
            while engine.running:
                engine.decode()
        first, *others = (request(n, p, 3) for n, p in enumerate(prompts(lengths)))
        engine.prefill([first])
        engine.begin(others or [request(1, first.prompt_ids, 1)])
        while engine.mix(engine.running) or engine.prefilling:
            engine.advance()
        while engine.running:
            engine.decode()
    assert (set(engine._prompts._steps), set(engine._steps)) == prepared


class Recorded:
    """A graph on the CPU: computes again, into the outputs of its capture."""

    def __init__(self, body: Body, inputs: Tensor) -> None:
        self._body, self._inputs, self.outputs = body, inputs, body(inputs)

    def replay(self) -> None:
        for kept, new in zip(self.outputs, self._body(self._inputs), strict=True):
            kept.copy_(new)


class Recorder:
    """Takes the place of ``Capture``, which needs a device."""

    def take(self, body: Body, inputs: Tensor) -> tuple[Recorded, Outputs]:
        graph = Recorded(body, inputs)
        return graph, graph.outputs


@pytest.mark.parametrize(
    ("prepared", "wanted"),
    [
        (0, [(4, 4)]),
        (1, [(1, 1)] * 4),
        (None, [(4, 4)]),
    ],
)
def test_prompts_come_together_where_that_shape_is_prepared(
    prepared: int | None,
    wanted: list[tuple[int, int]],
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or where no shape is: the first run of any takes long. A new instance has run one of one."""
    engine, passes = recording(made, monkeypatch)
    while prepared != 0 and engine.prepare():
        prepared = prepared and prepared - 1
    passes.clear()
    assert first_tokens(engine, (30,) * 4) == first_tokens(made.engine("f1")[0], (30,) * 4)
    assert passes == wanted


def test_where_only_a_larger_shape_has_run_prompts_are_padded_to_it(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, passes = recording(made, monkeypatch)
    first_tokens(engine, (100,))
    first_tokens(engine, (30,))
    assert first_tokens(engine, (70,)) == first_tokens(made.engine("f1")[0], (70,))
    assert first_tokens(engine, (20, 40)) == first_tokens(made.engine("f1")[0], (20, 40))
    assert passes == [(1, 2), (1, 2), (1, 2), (2, 2)]


def test_no_part_of_a_pass_is_longer_than_a_piece(made: Made) -> None:
    """Attention has room for no more, of padding either."""
    engine, _ = made.engine("f1")
    (prompt,) = prompts((70,))
    engine._prompts.run(PromptShape(1024, 0, adapted=True), [Piece(0, 0, prompt, final=True)], [1])
    (step,) = engine._prompts.steps
    assert step.host[BOUNDS, :18].tolist() == [0, 128, 640, *(1024,) * 14, 0]


def test_a_shape_that_is_missed_for_long_is_prepared_by_requests(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, passes = recording(made, monkeypatch)
    engine.prepare()
    for _ in range(PATIENCE + 3):
        first_tokens(engine, (30, 20))
    assert passes == [(1, 1)] * (2 * PATIENCE) + [(2, 2)] * 3


def test_a_mixed_pass_is_put_off_until_its_own_shape_is_prepared_or_missed_for_long(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A larger shape, or several passes of fewer prompts, take longer than a pass and a step."""
    engine, passes = recording(made, monkeypatch)
    running, *late = (request(n, prompt, 60) for n, prompt in enumerate(prompts((30,) * 3)))
    engine.prefill([running])
    engine._prompts.prepare(PromptShape(64, 0, adapted=True, rows=8))
    engine._prompts.prepare(PromptShape(192, 0, adapted=True, rows=8))
    for _ in range(PATIENCE):
        engine.begin(late)
        assert engine.mix({0}) is None
        cancel(engine, late)
    passes.clear()
    for batch in (late, late[:1]):
        engine.begin(batch)
        found = engine.mix({0})
        assert found is not None
        assert [event.request_id for event in found.first] == [each.request_id for each in batch]
        cancel(engine, late)
    assert passes == [(2, 2), (1, 1)]


def cancel(engine: CudaEngine, requests: list[GenerationRequest]) -> None:
    for each in requests:
        engine.cancel(each.request_id)


@pytest.fixture(scope="module")
def made(backbone: tuple[BackboneLayout, BackboneWeights], adapters: dict[str, Path]) -> Made:
    return Made(backbone, adapters)


def first_tokens(engine: CudaEngine, lengths: tuple[int, ...]) -> dict[int, int]:
    asked = [request(n, prompt, 1) for n, prompt in enumerate(prompts(lengths))]
    return {event.request_id: event.token_id for event in engine.prefill(asked)}


def recording(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> tuple[CudaEngine, list[tuple[int, int]]]:
    """An engine that captures graphs, and the numbers of prompts and tiles of each pass that it
    runs for requests."""
    engine, _ = made.engine("f1")
    monkeypatch.setattr(engine._prompts, "_capture", Recorder())
    passes: list[tuple[int, int]] = []
    run = engine._prompts.run
    monkeypatch.setattr(
        engine._prompts,
        "run",
        lambda shape, pieces, *more: (
            passes.append((len(pieces), shape.tiles)),
            run(shape, pieces, *more),
        )[1],
    )
    return engine, passes


def test_each_shape_is_run_a_second_time_which_captures_its_graph(
    backbone: tuple[BackboneLayout, BackboneWeights],
    adapters: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The request that used it for the second time would wait for that, 50 ms and more."""
    run, runs = Step.run, Counter[Step]()
    monkeypatch.setattr(Step, "run", lambda step: (runs.update([step]), run(step))[1])
    engine, _ = Made(backbone, adapters).engine("f1", max_batch_size=4, max_context_tokens=700)
    while engine.prepare():
        pass
    assert runs.keys() == {*engine._prompts.steps, *engine._steps.values()}
    assert set(runs.values()) == {2}


@pytest.mark.parametrize("most", [1, 2, 3, 5, 16, 17, 32, 33, 34, 64, 65, 128])
def test_any_number_of_running_requests_has_rows_and_any_rows_have_a_number(most: int) -> None:
    """There is a slot for each row, even of padding."""
    used = {mixed_row_bucket(running, most) for running in range(1, most)}
    assert used == {*mixed_rows(most)}
    assert max(used, default=0) <= batch_bucket(most)


@pytest.mark.parametrize(("batch", "context"), [(1, 64), (2, 700), (8, 65), (32, 512), (128, 512)])
def test_no_shape_is_larger_than_what_graphs_have_memory_for(
    batch: int, context: int, backbone: tuple[BackboneLayout, BackboneWeights]
) -> None:
    layout, weights = backbone
    limits = {"max_batch_size": batch, "max_context_tokens": context}
    engine = CudaEngine(layout.config, weights, None, **limits)
    shapes = [prepare.args[0] for prepare in engine._unprepared]
    rows = [each.rows + each.length if isinstance(each, PromptShape) else each for each in shapes]
    assert max(rows) == most_rows(engine._longest, batch, context)
