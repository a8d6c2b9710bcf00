"""What is measured stays the same where the machine stood still meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from harness.profiling.beside import batches_beside, host_rows
from harness.profiling.card_passes import passes
from harness.profiling.card_steps import decoding, steps
from harness.profiling.found import Found, undisturbed
from harness.profiling.frames import Frames, stops_in
from harness.profiling.starts import rates
from systems.models.sizes import model_size

MS = 10**6
SIZE = model_size("llama2-7b", "float16", 16, "cuda")
TOKENS, STEP_MS, OFTEN = 33, 8, 8
"""``OFTEN``: longer than a step, but not by so much that it can be told from one."""
STOP_MS, LONG_STOP_MS = 1500, 15000
"""The second: most of the time of a batch."""
ROWS = (1, 4)


class Tables:
    """Tables of requests, in the order of their ids."""

    def __init__(self) -> None:
        self._requests: list[dict[str, Any]] = []
        self._spans: list[dict[str, Any]] = []
        self._at_ns = 0

    @property
    def frames(self) -> Frames:
        return Frames(pd.DataFrame(self._requests), pd.DataFrame(self._spans), pd.DataFrame())

    def batch(self, instances: Sequence[str], gaps_ms: Sequence[int], *, told: bool = True) -> None:
        """Add a request of each of ``instances`` that decode at once. ``told``: the client saw the
        intervals between tokens."""
        gaps = [each * MS for each in gaps_ms]
        for instance in instances:
            self._add(instance, 64, len(gaps) + 1, stops_in(gaps) if told else ())
            self._span("decode", sum(gaps))
        self._at_ns += sum(gaps) + 1000 * MS

    def prompts(self, lengths: Sequence[int], pass_ms: int) -> None:
        for tokens in lengths:
            self._add("0", tokens, 1, ())
            self._span("prefill", pass_ms * MS)
        self._at_ns += 1000 * MS

    def _add(self, instance: str, prompt: int, output: int, stops: Any) -> None:
        number = len(self._requests)
        names = "request_id", "instance_id", "prompt_tokens", "output_tokens", "stops"
        values = number, instance, prompt, output, stops
        self._requests.append(dict(zip(names, values, strict=True)))

    def _span(self, stage: str, took_ns: int) -> None:
        number = self._requests[-1]["request_id"]
        start = self._at_ns
        span = {"request_id": number, "stage": stage, "start_ns": start, "end_ns": start + took_ns}
        self._spans.append(span)


def gaps(stop_at: int | None = None, stop_ms: int = STOP_MS) -> list[int]:
    found = [STEP_MS] * (TOKENS - 1)
    if stop_at is not None:
        found[stop_at] = stop_ms
    return found


def measured(*of_rounds: Sequence[int], told: bool = True) -> dict[str, Found]:
    """Return what rounds with such gaps tell; batches of a single request have no stop."""
    tables = Tables()
    for each in of_rounds:
        for rows in ROWS:
            tables.batch(["0"] * rows, gaps() if rows == 1 else each, told=told)
    frames = tables.frames
    return decoding(steps(frames, range(len(frames.requests))), [], SIZE).numbers()


UNDISTURBED = measured(gaps(), gaps())


@pytest.mark.parametrize("stop_at", [0, 15, TOKENS - 2])
def test_a_stop_within_a_batch_changes_no_step(stop_at: int) -> None:
    found = measured(gaps(stop_at), gaps(stop_at))
    assert found["decode_rows_s"].value == UNDISTURBED["decode_rows_s"].value
    assert "; 8 intervals" in found["decode_rows_s"].source, "of four requests, two rounds"
    assert "taken off" not in UNDISTURBED["decode_rows_s"].source


def test_a_delay_that_may_be_a_step_changes_nothing_if_it_is_in_one_round_alone() -> None:
    delayed = gaps(TOKENS - 2, STEP_MS * OFTEN)
    for found in (measured(gaps(), delayed), measured(delayed, gaps())):
        assert found == UNDISTURBED


def test_a_stop_that_the_client_could_not_tell_changes_nothing_if_it_is_in_one_round_alone() -> (
    None
):
    assert measured(gaps(), gaps(3), told=False) == UNDISTURBED


def test_a_stop_of_a_smaller_batch_does_not_make_it_one_of_fewer_requests() -> None:
    """The machine stands still while one of four requests has not yet begun to decode."""
    tables = Tables()
    tables.batch(["0"] * 3, gaps(0, LONG_STOP_MS))
    whole = tables.frames
    late = whole.requests.iloc[-1:].assign(request_id=3, stops=[()], output_tokens=TOKENS - 1)
    start_ns = LONG_STOP_MS * MS
    span = whole.spans.iloc[-1:].assign(request_id=3, start_ns=start_ns)
    both = Frames(pd.concat([whole.requests, late]), pd.concat([whole.spans, span]), whole.memory)
    assert {(each.requests, each.seconds) for each in steps(both, range(4))} == {
        (4, STEP_MS / 1e3),
    }


@pytest.mark.parametrize("count", [1, 2])
def test_passes_of_which_most_were_delayed_tell_what_the_others_do(count: int) -> None:
    tables = Tables()
    for pass_ms in (38, 71, 44, 26, 26):
        tables.prompts([511] * count, pass_ms)
    alone, two = (range(5 * count), []) if count == 1 else ([], range(5 * count))
    ((tokens, seconds),) = passes(tables.frames, alone, two).points
    assert (tokens, seconds) == (512 * count, 0.026)


@pytest.mark.parametrize(
    ("lengths", "tokens"),
    [([64], 64), ([150], 192), ([300], 384), ([65, 10], 192), ([511, 1], 768)],
)
def test_a_pass_is_told_by_the_tiles_of_its_prompts_with_padding(
    lengths: list[int], tokens: int
) -> None:
    tables = Tables()
    tables.prompts(lengths, 5)
    alone, two = ([0], []) if len(lengths) == 1 else ([], [0, 1])
    found = passes(tables.frames, alone, two)
    assert found.points == ((tokens, 0.005),)
    assert found.prompts == {tokens: len(lengths)}


def test_a_stop_beside_another_instance_tells_neither_waiting_nor_hidden_work() -> None:
    alone = decoding(steps_of([1, 2]), [], SIZE)

    def numbers(*stops: int | None) -> list[Any]:
        tables = Tables()
        for stop_at in stops:
            tables.batch(["0", "0", "1", "1"], [2 * each for each in gaps(stop_at)])
        frames, waits = tables.frames, Found(1.0, "as much as the others")
        every = range(len(frames.requests))
        beside = batches_beside(frames, every, alone)["waits"]
        return [beside.value, host_rows(frames, every, alone, waits)["host_row_s"].value]

    assert numbers(3, 4) == pytest.approx(numbers(None, None))


def steps_of(rows: Sequence[int]) -> Any:
    tables = Tables()
    for count in rows:
        tables.batch(["0"] * count, [each + count for each in gaps()])
    frames = tables.frames
    return steps(frames, range(len(frames.requests)))


def test_one_of_three_loads_that_took_long_changes_no_rate() -> None:
    tables = Tables()
    tables.prompts([511], 5)
    private = tables.frames
    private.spans["stage"] = "backbone"
    assert rates([1.0, 1.0, 9.0], private, SIZE)["tier_bytes_per_s"] == Found(
        SIZE.weights_bytes / 1.0, "shared backbone read from the page cache, median of 3"
    )


def test_the_last_interval_of_a_batch_may_be_long() -> None:
    assert stops_in([7, 7, 7, 40]) == ()
    assert stops_in([7, 7, 7, 71]) == ((21, 92),)
    assert stops_in(None) == ()
    assert stops_in([]) == ()


def test_what_is_undisturbed_is_one_of_the_shorter_half() -> None:
    assert undisturbed([4.0, 9.0]) == 4.0
    assert undisturbed([38.0, 71.0, 44.0, 25.9, 26.0]) == 26.0
    assert undisturbed([3.0]) == 3.0
