"""Regression mutants: defects that the measurement rules forbid, each planted and caught.

The check of each exhibit must pass on our code and fail on the planted defect.
"""

from __future__ import annotations

import pytest

from . import conclusions, load, provenance, schedules, streams, summaries, tokens
from .exhibit import Exhibit

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


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=str)
def test_our_client_does_not_have_the_defect(exhibit: Exhibit) -> None:
    exhibit.check(exhibit.sound)


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=str)
def test_a_planted_defect_is_caught(exhibit: Exhibit) -> None:
    with pytest.raises(AssertionError):
        exhibit.check(exhibit.planted)


def test_every_rule_that_can_be_broken_by_code_is_on_display() -> None:
    assert {exhibit.rule for exhibit in EXHIBITS} == {*range(1, 16), 17, 18}
