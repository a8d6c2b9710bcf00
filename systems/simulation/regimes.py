"""Regimes: how a simulated engine runs batches, by name.

*continuous* is this suite's engine, live and simulated: a batch joins what runs between two decode
steps, and a request leaves with its last token. *run-to-completion* is the regime that is presumed
of the paper, whose digests do not say how its engine batches: a batch runs alone until its longest
answer is complete, every request has a slot of a full context until then, and a decode step takes
as long as one of a single request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .number import Curve, Number
from .profile import Profile


@dataclass(frozen=True, slots=True)
class Regime:
    """``joins``: whether a batch may join requests that decode, and each leaves when it is done.
    ``kv_slots``: whether every request reserves a slot of a full context, on any device.
    ``flat_steps``: whether a decode step takes as long for any number of requests as for one."""

    name: str
    joins: bool = True
    kv_slots: bool = False
    flat_steps: bool = False

    def applied(self, profile: Profile) -> Profile:
        """Return ``profile`` with the numbers of an engine of this regime."""
        if self.kv_slots:
            profile = profile.model_copy(update={"kv_slots": True})
        return self._flat(profile) if self.flat_steps else profile

    def _flat(self, profile: Profile) -> Profile:
        source = f"assumed: regime {self.name}, steps do not grow with their 1 to n requests"
        line, curve = profile.decode_request_s, profile.decode_rows_s
        one = Number(value=profile.decode_s.value + line.value, kind="derived", source=source)
        none = Number(value=0, kind="derived", source=source)
        flat = None
        if curve is not None:
            flat = Curve(points=((1, curve.at(1)), (2, curve.at(1))), kind="derived", source=source)
        changed = {"decode_s": one, "decode_request_s": none, "decode_rows_s": flat}
        return profile.model_copy(update=changed)


CONTINUOUS = Regime("continuous")
REGIMES: Mapping[str, Regime] = {
    regime.name: regime
    for regime in (
        CONTINUOUS,
        Regime("run-to-completion", joins=False, kv_slots=True, flat_steps=True),
    )
}
