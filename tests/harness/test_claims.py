"""Published results: each is compared with ours by rules that do not depend on the system."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.claims import Claim, Ours, Published, claims, published
from harness.claims.rules import judge
from harness.places import REFERENCE
from systems.simulation.profile import Number, load_profile, profile_names

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def judged() -> list[Claim]:
    return claims(ROOT / REFERENCE)


def test_every_published_result_has_ours_and_says_how_it_came_about(judged: list[Claim]) -> None:
    assert [claim.published.id for claim in judged] == [each.id for each in published()]
    for claim in judged:
        assert claim.why
        assert claim.published.stands.startswith(("a: ", "d: "))
        assert claim.ours is not None
        assert claim.ours.mode in {"live", "simulated"}
        assert len(claim.ours.values) == len(claim.published.values)
        assert ("profile l40s" in claim.why) == (claim.ours.mode == "simulated")


def test_the_command_gives_every_claim_to_machines(judged: list[Claim]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness", "claims", "--json"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    document = json.loads(done.stdout)
    assert document == {"claims": [json.loads(json.dumps(c.as_dict())) for c in judged]}


def _claim(rule: Any, *values: float) -> Published:
    return Published(id="x", claim="x", paper="x", values=values, rule=rule, stands="a: x")


def _ours(*values: float) -> Ours:
    return Ours(values, "", "live", "")


@pytest.mark.parametrize(
    ("rule", "theirs", "mine", "verdict"),
    [
        ("gain", [0.8], [0.81], "holds"),
        ("gain", [0.8], [0.1], "direction-holds"),
        ("gain", [0.8], [-0.1], "does-not-hold"),
        ("speed-up", [2.0, 3.0], [2.0, 3.1], "holds"),
        ("speed-up", [2.0, 3.0], [2.0, 1.1], "direction-holds"),
        ("speed-up", [2.0, 3.0], [2.0, 0.9], "does-not-hold"),
        ("penalty", [0.12], [0.0], "holds"),
        ("penalty", [0.12], [0.2], "direction-holds"),
        ("level", [10.0], [10.9], "holds"),
        ("level", [10.0], [11.1], "does-not-hold"),
        ("order", [1.0, 2.0, 3.0], [1.05, 2.0, 3.0], "holds"),
        ("order", [1.0, 2.0, 3.0], [0.1, 5.0, 6.0], "direction-holds"),
        ("order", [1.0, 2.0, 3.0], [0.1, 6.0, 5.0], "does-not-hold"),
        ("limit", [6.0], [5.9], "holds"),
        ("limit", [6.0], [6.0], "does-not-hold"),
        ("share", [1.0], [1.0], "holds"),
        ("share", [1.0], [0.6], "direction-holds"),
        ("share", [1.0], [0.5], "does-not-hold"),
    ],
)
def test_a_verdict_follows_from_the_numbers(
    rule: str, theirs: list[float], mine: list[float], verdict: str
) -> None:
    assert judge(_claim(rule, *theirs), _ours(*mine)) == verdict


def test_an_interval_counts_against_a_claim_and_never_for_it() -> None:
    """A claim holds within a tenth of the published value. A wide interval never makes it hold,
    and an interval that includes "no effect" also removes the direction."""
    claim = _claim("speed-up", 2.0)
    assert judge(claim, replace(_ours(1.95), ci95=(1.7, 2.1))) == "holds"
    assert judge(claim, replace(_ours(1.8), ci95=(1.1, 9.0))) == "direction-holds"
    assert judge(claim, replace(_ours(1.8), ci95=(0.9, 9.0))) == "does-not-hold"
    assert judge(claim, replace(_ours(1.95), ci95=(0.9, 9.0))) == "does-not-hold"


_CITED = ("figure", "paper", "data sheet", "Amazon EC2")


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_number_was_measured_or_cites_its_source(name: str) -> None:
    """The source names, if measured: what was measured and with what; if published: the
    publication; if derived: the numbers it was computed from."""
    for key, number in load_profile(name):
        if not isinstance(number, Number):
            continue
        words = number.source.split()
        assert len(words) >= 4, f"{name}.{key}: {number.source!r} names no source"
        if number.kind == "published":
            assert any(c in number.source for c in _CITED), f"{name}.{key} cites no publication"
        if number.kind == "derived" and number.value:
            assert any(c.isdigit() for c in number.source), f"{name}.{key} derives from no number"
