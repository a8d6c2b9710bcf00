"""The skills by name."""

from __future__ import annotations

from . import tasks
from .skill import Skill

BACKBONE = "smollm2-135m"
"""The preset that the adapters are trained for."""


def skills() -> dict[str, Skill]:
    found = (
        Skill("people", "a sentence about a person and a city as JSON", tasks.people, steps=60),
        Skill("dates", "a date, day first, as ISO 8601", tasks.dates, steps=70),
        Skill("tickets", "a complaint: the department that answers it", tasks.tickets, steps=60),
        Skill("sentiment", "a short review: positive or negative", tasks.sentiment, steps=40),
        Skill("backwards", "three words in reverse order", tasks.backwards, steps=80),
    )
    return {skill.name: skill for skill in found}
