"""Regression mutants: defects that the measurement rules forbid, each planted and caught.

The check of each mutant must pass on our code and fail on the planted defect.
"""

from __future__ import annotations

import pytest

from . import conclusions, load, provenance, schedules, streams, summaries, tokens
from .mutant import Mutant

pytestmark = pytest.mark.timed
EXHIBITS = [
    *schedules.EXHIBITS,
    *load.EXHIBITS,
    *summaries.EXHIBITS,
    *tokens.EXHIBITS,
    *streams.EXHIBITS,
    *conclusions.EXHIBITS,
    *provenance.EXHIBITS,
]


@pytest.mark.parametrize("mutant", EXHIBITS, ids=str)
def test_our_client_does_not_have_the_defect(mutant: Mutant) -> None:
    mutant.check(mutant.sound)


@pytest.mark.parametrize("mutant", EXHIBITS, ids=str)
def test_a_planted_defect_is_caught(mutant: Mutant) -> None:
    with pytest.raises(AssertionError):
        mutant.check(mutant.planted)


def test_every_rule_that_can_be_broken_by_code_is_on_display() -> None:
    assert {mutant.rule for mutant in EXHIBITS} == {*range(1, 16), 17, 18}
