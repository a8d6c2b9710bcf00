"""Regular expressions in adapters' settings, matched in bounded time.

A tenant writes them, and the time of ``re`` can grow exponentially with the length of a pattern
("catastrophic backtracking"). Here Python's parser reads a pattern, and the match follows all its
alternatives at once: a set of positions in the name is an integer, a bit a position. Steps are
counted against a budget, so whatever the pattern, the work is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

MOST_STEPS = 4_000_000
"""For all patterns of an adapter; takes a few seconds. The patterns of 560 projections, each named
by one of its own, take an eighth."""
MOST_CHARACTERS = 10_000
_PARSING = 8  # steps for a character
_SIMPLE = re.compile(r"[^*+?{|(]*")

Nodes = Sequence[tuple[Any, Any]]
Matcher = Callable[[str], bool]


class PatternError(ValueError):
    """A pattern is invalid, or has what is not supported, or takes too long."""


class Steps:
    """The budget of one adapter's patterns."""

    def __init__(self, most: int = MOST_STEPS) -> None:
        self._left = most

    def take(self, steps: int) -> None:
        """Raise ``PatternError`` if the budget is spent."""
        self._left -= steps
        if self._left < 0:
            raise PatternError("takes too long to match")


def whole(pattern: str, steps: Steps) -> Matcher:
    """Return a function that tells whether ``pattern`` matches a whole name, as ``re.fullmatch``.
    Names have no line breaks. Raise ``PatternError`` here or there."""
    nodes = _parse(pattern, steps)
    return lambda name: bool(_Walk(name, steps).ends(nodes, 1) >> len(name))


def beginning(pattern: str, steps: Steps) -> Matcher:
    """The same for a match at the start of a name, as ``re.match``."""
    nodes = _parse(pattern, steps)
    return lambda name: bool(_Walk(name, steps).ends(nodes, 1))


def ending(key: str, steps: Steps) -> Matcher:
    """The same for a key of ``rank_pattern`` or ``alpha_pattern``: peft's own expression."""
    pattern = rf"(.*\.)?({key})$"
    if not _SIMPLE.fullmatch(key):
        return beginning(pattern, steps)
    # Without alternatives or repetitions of its own, ``re`` is bounded, and fast.
    _parse(pattern, steps)
    found = re.compile(pattern)

    def matches(name: str) -> bool:
        steps.take(2)
        return found.match(name) is not None

    return matches


def _parse(pattern: str, steps: Steps) -> Nodes:
    if len(pattern) > MOST_CHARACTERS:
        raise PatternError(f"has {len(pattern)} characters; {MOST_CHARACTERS} are allowed")
    steps.take(_PARSING * len(pattern))
    try:
        found = _parser.parse(pattern)
    except (re.error, OverflowError) as error:
        raise PatternError(f"is no regular expression: {error}") from None
    except RecursionError:
        raise PatternError("is nested too deeply") from None
    if found.state.flags & ~re.UNICODE:
        raise PatternError("sets flags, which are not supported")
    nodes: Nodes = found
    return nodes


class _Walk:
    """Matches nodes of a parsed pattern with one name. Bit i of a set stands for the position
    before character i."""

    def __init__(self, name: str, steps: Steps) -> None:
        self._size, self._steps = len(name), steps
        self._at = _positions(name)
        self._all = (1 << len(name)) - 1
        self._classes: dict[int, int] = {}
        """By the identity of a class of characters, which the pattern keeps: where they are."""

    def ends(self, nodes: Nodes, starts: int) -> int:
        """Return where matches of ``nodes`` in a row can end that begin at ``starts``."""
        for op, value in nodes:
            if not starts:
                break
            self._steps.take(1)
            if op not in _OPERATIONS:
                raise PatternError(f"has {str(op).lower()}, which is not supported")
            try:
                starts = _OPERATIONS[op](self, value, starts)
            except RecursionError:
                raise PatternError("is nested too deeply") from None
        return starts

    def literal(self, value: int, starts: int) -> int:
        return (starts & self._at.get(chr(value), 0)) << 1

    def other_than(self, value: int, starts: int) -> int:
        return (starts & self._all & ~self._at.get(chr(value), 0)) << 1

    def any(self, value: None, starts: int) -> int:  # noqa: ARG002
        return (starts & self._all) << 1

    def one_of(self, value: Nodes, starts: int) -> int:
        there = self._classes.get(id(value))
        if there is None:
            self._steps.take(len(value) * len(self._at))
            negate = value[0][0] is c.NEGATE
            there = self._where(lambda x: any(_IN[op](each, x) for op, each in value[negate:]))
            there = self._classes[id(value)] = self._all & ~there if negate else there
        return (starts & there) << 1

    def _where(self, fits: Callable[[str], bool]) -> int:
        """Return the positions of the characters that fit."""
        found = 0
        for character, at in self._at.items():
            if fits(character):
                found |= at
        return found

    def branch(self, value: tuple[None, Sequence[Nodes]], starts: int) -> int:
        found = 0
        for nodes in value[1]:
            found |= self.ends(nodes, starts)
        return found

    def group(self, value: tuple[Any, int, int, Nodes], starts: int) -> int:
        _, added, removed, nodes = value
        if added or removed:
            raise PatternError("sets flags, which are not supported")
        return self.ends(nodes, starts)

    def repeat(self, value: tuple[int, int, Nodes], starts: int) -> int:
        least, most, nodes = value
        for _ in range(least):
            before, starts = starts, self.ends(nodes, starts)
            if starts == before:
                break
        found = new = starts
        for _ in range(most - least):
            new = self.ends(nodes, new) & ~found
            if not new:
                break
            found |= new
        return found

    def anchor(self, value: Any, starts: int) -> int:
        if value in (c.AT_BEGINNING, c.AT_BEGINNING_STRING):
            return starts & 1
        if value in (c.AT_END, c.AT_END_STRING):
            return starts & (1 << self._size)
        self._steps.take(len(self._at))
        word = self._where(_is_word)
        boundary = word ^ (word << 1)
        return starts & (boundary if value is c.AT_BOUNDARY else ~boundary)

    def ahead(self, value: tuple[int, Nodes], starts: int, *, found: bool = True) -> int:
        direction, nodes = value
        if direction < 0:
            raise PatternError("looks behind, which is not supported")
        kept = 0
        while starts:
            bit = starts & -starts
            starts ^= bit
            self._steps.take(1)
            if bool(self.ends(nodes, bit)) is found:
                kept |= bit
        return kept

    def not_ahead(self, value: tuple[int, Nodes], starts: int) -> int:
        return self.ahead(value, starts, found=False)

    def nowhere(self, value: Any, starts: int) -> int:  # noqa: ARG002
        return 0


_OPERATIONS: dict[Any, Callable[[_Walk, Any, int], int]] = {
    c.LITERAL: _Walk.literal,
    c.NOT_LITERAL: _Walk.other_than,
    c.ANY: _Walk.any,
    c.IN: _Walk.one_of,
    c.BRANCH: _Walk.branch,
    c.SUBPATTERN: _Walk.group,
    c.MAX_REPEAT: _Walk.repeat,
    c.MIN_REPEAT: _Walk.repeat,
    c.AT: _Walk.anchor,
    c.ASSERT: _Walk.ahead,
    c.ASSERT_NOT: _Walk.not_ahead,
    c.FAILURE: _Walk.nowhere,
}


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    c.CATEGORY_DIGIT: str.isdecimal,
    c.CATEGORY_NOT_DIGIT: lambda character: not character.isdecimal(),
    c.CATEGORY_SPACE: str.isspace,
    c.CATEGORY_NOT_SPACE: lambda character: not character.isspace(),
    c.CATEGORY_WORD: _is_word,
    c.CATEGORY_NOT_WORD: lambda character: not _is_word(character),
}
_IN: dict[Any, Callable[[Any, str], bool]] = {
    c.LITERAL: lambda value, character: value == ord(character),
    c.RANGE: lambda value, character: value[0] <= ord(character) <= value[1],
    c.CATEGORY: lambda value, character: _CATEGORIES[value](character),
}


@lru_cache(maxsize=2048)
def _positions(name: str) -> dict[str, int]:
    """Return where each character of a name is."""
    found: dict[str, int] = {}
    for position, character in enumerate(name):
        found[character] = found.get(character, 0) | 1 << position
    return found
