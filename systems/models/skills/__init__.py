"""Functions with a skill: small LoRA adapters of SmolLM2-135M that visibly do different things.

The random adapters of :func:`ensure_adapters` make functions different, not better. Each of these
was trained for one task, so that a person sees whether an answer comes from the right adapter.

A prompt is the question's text and " ->", for the completions API; the answer ends with the model's
end-of-turn token. Held-out questions are never trained on (``questions.py``).

A folder of this package per skill holds the adapter, ``training.json`` (how it was trained) and
``accuracy.json`` (how often it is right on held-out questions). They are written by

    python -m systems.models.skills.train [NAME…]
    python -m systems.models.skills.measure [NAME…]
"""

from .installed import ensure_skills, reinstall_skill
from .questions import Question
from .registry import BACKBONE, skills
from .skill import Skill

__all__ = ["BACKBONE", "Question", "Skill", "ensure_skills", "reinstall_skill", "skills"]
