"""Nucleus sampling follows its definition, and the draws follow the distribution."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from systems.engine.sampling import Sampler, choose_tokens, nucleus


@given(
    st.lists(st.floats(0.001, 1), min_size=1, max_size=400),
    st.floats(0.01, 0.999),
)
def test_the_nucleus_is_the_smallest_set_of_likeliest_tokens_of_that_mass(
    weights: list[float], top_p: float
) -> None:
    probabilities = torch.tensor(weights, dtype=torch.float64)
    probabilities /= probabilities.sum()
    kept, tokens = nucleus(probabilities, top_p)
    assert torch.equal(probabilities[tokens], kept)
    assert len(set(tokens.tolist())) == len(tokens)
    left_out = probabilities.sum() - kept.sum()
    assert left_out <= 1 - top_p + 1e-9
    assert kept[:-1].sum() < top_p + 1e-9
    mask = torch.ones_like(probabilities, dtype=torch.bool)
    mask[tokens] = False
    assert not mask.any() or probabilities[mask].max() <= kept.min()


def test_draws_follow_the_tempered_distribution() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, 3.0])
    sampler = Sampler.of(temperature=2.0, top_p=1.0, seed=1)
    drawn = torch.tensor([sampler.choose(logits) for _ in range(4000)])
    seen = torch.bincount(drawn, minlength=4) / 4000
    assert torch.allclose(seen, (logits / 2).softmax(0), atol=0.03)


def test_greedy_and_sampled_rows_share_a_batch() -> None:
    logits = torch.tensor([[0.0, 5.0, 1.0], [9.0, 0.0, 0.0]])
    samplers = [Sampler.of(0.0, 1.0, 0), Sampler.of(0.5, 0.5, 0)]
    assert choose_tokens(logits, samplers) == [1, 0]


@given(st.floats(0, 1e-3, exclude_min=True), st.integers(0, 2**31))
def test_the_coldest_temperatures_are_all_but_greedy(temperature: float, seed: int) -> None:
    logits = torch.tensor([[12.0, 80.0, -3.0]])
    assert choose_tokens(logits, [Sampler.of(temperature, 0.9, seed)]) == [1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_a_row_that_is_no_numbers_does_not_end_its_batch(bad: float, top_p: float) -> None:
    logits = torch.tensor([[bad, 0.0, 1.0], [0.0, 0.0, 50.0]])
    rows = [Sampler.of(1.0, top_p, 1), Sampler.of(1.0, top_p, 1)]
    _, beside = choose_tokens(logits, rows)
    assert beside == 2
