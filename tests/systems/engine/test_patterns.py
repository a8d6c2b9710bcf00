"""Patterns match what ``re`` matches, and those that would make it hang end at once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systems.engine.patterns import MOST_STEPS, PatternError, Steps, beginning, ending, whole

LETTERS = "ab._1"
ITEMS = ["a", "b", ".", r"\.", "_", r"\d", r"\w", r"\W", r"\D", "[ab]", "[^a.]", "[0-9_]", "[^b]"]
ANCHORS = ["^", "$", r"\b", r"\B", r"\A", r"\Z", "", "(?!)"]
PATTERNS = st.recursive(
    st.sampled_from([*ITEMS, *ANCHORS]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda both: f"(?:{both[0]}|{both[1]})"),
        st.tuples(
            inner, st.sampled_from(["*", "+", "?", "*?", "+?", "{2}", "{1,3}", "{0,2}?"])
        ).map(lambda each: f"(?:{each[0]}){each[1]}"),
        inner.map(lambda each: f"({each})"),
        inner.map(lambda each: f"(?={each})"),
        inner.map(lambda each: f"(?!{each})"),
    ),
    max_leaves=6,
)
NAME = "model.layers.31.self_attn.q_proj"


@given(PATTERNS, st.text(LETTERS, min_size=1, max_size=7))
def test_they_match_what_re_matches(pattern: str, name: str) -> None:
    ways: list[tuple[Callable[[str, Steps], Callable[[str], bool]], bool]] = [
        (whole, re.fullmatch(pattern, name) is not None),
        (beginning, re.match(pattern, name) is not None),
        (ending, re.match(rf"(.*\.)?({pattern})$", name) is not None),
    ]
    for make, wanted in ways:
        assert make(pattern, Steps())(name) is wanted


@pytest.mark.parametrize(
    "pattern",
    [
        "(a*)*b",
        "(?:.*?.*?.*?.*?)*x" * 3,
        "((((.*)*)*)*)*x" * 9,
        "(?:(?:.{1,9999}){1,9999}){1,9999}x",
        "(?:){4000000000}",
        "(?=(?=.*.*)+x)" * 30,
        "(l|l|a|a|y|y|e|e|r|s|.)*(.|.)*" * 30,
        "(?:a?){99}a{99}",
    ],
)
def test_one_that_would_take_without_end_ends(pattern: str) -> None:
    """Counted in steps, not in time."""
    for make in (whole, beginning, ending):
        steps = Steps()
        with contextlib.suppress(PatternError):
            matches = make(pattern, steps)
            for layer in range(200):
                matches(f"model.layers.{layer}.self_attn.q_proj" + "aaaa" * 9)
        assert steps._left >= -len(pattern) * 8


def test_the_budget_is_that_of_all_patterns_of_an_adapter() -> None:
    steps = Steps(10_000)
    matches = whole("(?:.*a.*)*x", steps)
    with pytest.raises(PatternError, match="takes too long to match"):
        all(not matches(NAME) for _ in range(10_000))
    with pytest.raises(PatternError, match="takes too long"):
        ending("q_proj", steps)(NAME)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(", "no regular expression"),
        ("[", "no regular expression"),
        ("a{4294967296}", "no regular expression"),
        ("(" * 3000 + ")" * 3000, "nested too deeply"),
        ("(?i)Q_PROJ", "flags"),
        ("(?i:Q_PROJ)", "flags"),
        (r"(.).*\1", "groupref"),
        ("(?<=a).*", "looks behind"),
        ("(?>a).*|.*", "atomic_group"),
        ("a" * 10_001, "10000 are allowed"),
    ],
)
def test_what_is_not_supported_is_refused_in_words(pattern: str, says: str) -> None:
    with pytest.raises(PatternError, match=says) as refusal:
        whole(pattern, Steps())(NAME + "aa")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "pattern",
    [
        # Written by trainers: unsloth, LLaMA-Factory, ms-swift.
        r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|v_proj).*?)"
        r"|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:(?:q_proj|k_proj)))",
        "^(?!.*patch_embed).*(?:gate_proj|o_proj|q_proj|up_proj|v_proj).*",
        r"^(model(?=\.).*\.(q_proj|k_proj|v_proj))$",
    ],
)
def test_those_of_trainers_match(pattern: str) -> None:
    steps = Steps()
    matches = whole(pattern, steps)
    for layer in range(126):
        assert matches(f"model.layers.{layer}.self_attn.q_proj")
        assert not matches(f"model.layers.{layer}.mlp.down_proj")
    assert steps._left > MOST_STEPS // 2


@pytest.mark.parametrize(
    ("pattern", "least"),
    [
        (".*" + "(?=)" * 100, 100 * len(NAME)),
        (".*" + "(?!x)" * 100, 100 * len(NAME)),
        ("[ab]", len(set(NAME))),
        (r"\b", len(set(NAME))),
    ],
)
def test_what_is_tried_at_every_position_or_with_every_character_is_counted(
    pattern: str, least: int
) -> None:
    steps = Steps()
    matches = beginning(pattern, steps)
    before = steps._left
    matches(NAME)
    assert before - steps._left >= least
