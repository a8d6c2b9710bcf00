"""The rate of reading memory, and the time of steps, from steps of short and of long contexts."""

from __future__ import annotations

import pytest

from harness.errors import HarnessError
from harness.profiling.card_steps import Step, decoding
from systems.models.sizes import model_size

SIZE = model_size("llama2-7b", "float16", 16, "cuda")
OTHER_S = 0.001
CONTEXTS = {1: 80.0, 8: 640.0, 16: 1280.0}


def _steps(bytes_per_s: float, longer: float) -> list[Step]:
    read = {n: SIZE.weights_bytes + SIZE.kv_bytes_per_token * tokens * longer
            for n, tokens in CONTEXTS.items()}  # fmt: skip
    return [Step(n, OTHER_S + each / bytes_per_s, CONTEXTS[n] * longer) for n, each in read.items()]


def test_longer_contexts_tell_the_rate() -> None:
    found = decoding(_steps(3e12, 1), _steps(3e12, 5), SIZE)
    assert found.bytes_per_s == pytest.approx(3e12)
    assert dict(found.rows) == pytest.approx(dict.fromkeys(CONTEXTS, OTHER_S))


def test_the_rate_is_at_least_that_of_reading_the_weights() -> None:
    short = _steps(3e12, 1)
    slow = [step._replace(seconds=step.seconds * 3, context=step.context * 5) for step in short]
    for long in (slow, [step._replace(seconds=0.001) for step in slow], []):
        found = decoding(short, long, SIZE)
        assert found.bytes_per_s == pytest.approx(SIZE.weights_bytes / short[0].seconds)
        assert min(found.rows)[1] == 0.0
        assert "weights" in found.how


def test_batches_that_are_padded_to_the_next_size_do_not_count() -> None:
    short = [*_steps(3e12, 1), Step(13, 1.0, 1000.0)]
    assert [n for n, _ in decoding(short, _steps(3e12, 5), SIZE).rows] == list(CONTEXTS)


def test_steps_of_one_request_are_needed() -> None:
    with pytest.raises(HarnessError, match="steps of one request"):
        decoding(_steps(3e12, 1)[1:], [], SIZE)
