"""The skills' tasks. A task enumerates all its questions, in a fixed order.

Where words are copied, no question begins with one of them: models attend to the first token for
other reasons, and adapters of this size copied it wrongly in a fifth of the answers.
"""

from __future__ import annotations

import json
from calendar import monthrange
from collections.abc import Iterator
from itertools import permutations, product

from .questions import Question
from .words import BLAME, CITIES, NAMES, PRAISE, REVIEWED, THINGS, TICKETS

_REVIEWS = (
    "The {thing} was {word}.",
    "The {thing} was really {word}.",
    "What a {word} {thing}!",
    "I found the {thing} {word}.",
    "My friends thought that the {thing} was {word}.",
)
_PEOPLE = (
    "I heard that {name} lives in {city}.",
    "Last week {name} moved to {city}.",
    "My friend {name} is from {city}.",
    "The city of {city} is where {name} works.",
    "I met {name} in {city} last year.",
)
_YEARS = range(1950, 2050)
_DATES = ("We met on {day:02}.{month:02}.{year}", "Due on {day:02}/{month:02}/{year}")
_OPENINGS = (
    "Hello, {problem}.",
    "Good morning, {problem}.",
    "Can you help? I think that {problem}.",
    "Since yesterday {problem}.",
    "Again {problem}!",
    "I am annoyed because {problem}.",
    "It seems that {problem}.",
    "Please look into this: {problem}.",
)


def sentiment() -> Iterator[Question]:
    """A short review into ``positive`` or ``negative``."""
    for answer, words in (("positive", PRAISE), ("negative", BLAME)):
        for form, thing, word in product(_REVIEWS, REVIEWED, words):
            yield Question(form.format(thing=thing, word=word), answer)


def people() -> Iterator[Question]:
    """A sentence about a person and a city into a JSON object."""
    for form, name, city in product(_PEOPLE, NAMES, CITIES):
        yield Question(form.format(name=name, city=city), json.dumps({"name": name, "city": city}))


def dates() -> Iterator[Question]:
    """A date with the day first into ISO 8601."""
    for form, year, month in product(_DATES, _YEARS, range(1, 13)):
        for day in range(1, monthrange(year, month)[1] + 1):
            text = form.format(day=day, month=month, year=year)
            yield Question(text, f"{year}-{month:02}-{day:02}")


def tickets() -> Iterator[Question]:
    """A customer's complaint into the department that answers it."""
    for department, problems in TICKETS.items():
        for opening, problem in product(_OPENINGS, problems):
            yield Question(opening.format(problem=problem), department)


def backwards() -> Iterator[Question]:
    """Three words into the same in reverse order."""
    for words in permutations(THINGS, 3):
        yield Question(f"Reverse: {' '.join(words)}", " ".join(reversed(words)))
