"""pytest plugin: property tests end at their first failing example.

Shrinking it takes minutes and tells nothing more about a mutant; examples that failed for one
mutant are not kept for the next.
"""

from __future__ import annotations

from hypothesis import Phase, settings

PROFILE = "first-failure"
settings.register_profile(
    PROFILE, deadline=None, database=None, phases=(Phase.explicit, Phase.generate)
)
