"""Captures beside other graphs of the process."""

from __future__ import annotations

import gc
from typing import Any

import torch
from torch import Tensor

from systems.engine.cuda.graphs import Capture, with_tokens


def body(inputs: Tensor) -> tuple[Tensor, Tensor]:
    return with_tokens(inputs.float() * 2)


def test_a_graph_that_nobody_holds_is_not_destroyed_during_a_capture() -> None:
    inputs = torch.arange(8, device="cuda").reshape(2, 4)  # makes the context
    capture = Capture("cuda")
    body(inputs)
    gc.collect()
    ring: list[Any] = [capture.take(body, inputs)]
    ring.append(ring)  # only the collector frees it
    held = [ring]
    del ring

    def litter(inputs: Tensor) -> tuple[Tensor, Tensor]:
        held.clear()
        held.extend([] for _ in range(2 * gc.get_threshold()[0]))  # the collector would start
        return body(inputs)

    graph, (logits, tokens) = capture.take(litter, inputs)
    inputs += 1
    graph.replay()
    assert torch.equal(logits, inputs.float() * 2)
    assert torch.equal(tokens, logits.argmax(1))
    assert gc.isenabled()


def test_graphs_that_are_larger_than_those_before_stay_in_the_block_of_the_largest() -> None:
    inputs = torch.arange(8, device="cuda").reshape(2, 4)
    largest = 64 << 20
    capture = Capture("cuda", largest)
    body(inputs)

    def sized(size: int) -> Any:
        def wide(inputs: Tensor) -> tuple[Tensor, Tensor]:
            torch.empty(size, dtype=torch.uint8, device="cuda").zero_()
            return body(inputs)

        return capture.take(wide, inputs)

    held = [sized(largest // 8)]
    before = torch.cuda.memory_reserved()
    held += [sized(largest // part) for part in (4, 2, 1)]
    assert torch.cuda.memory_reserved() == before
