"""Policies by seam and name, as experiments and manifests write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from functools import partial
from typing import Any, Generic, TypeVar

from systems.errors import PolicyError
from systems.imported import imported

from ..policy import Policy, PolicyOptions
from . import PolicySet
from .admission import Admission, AdmitAll, ShedHopeless
from .batching import Batching, FillOrExpire, FirstComeFirstServed
from .keep_alive import FixedKeepAlive, KeepAlive
from .offloading import LeastRecentlyUsed, NoOffloading, Offloading, ValueDensity
from .placement import EarliestCompletion, Placement
from .preloading import ByDensity, ByExpectedArrival, NoPreloading, Preloading
from .scaling import DelayedAsLong, Scaling, WaitedAsLong
from .sharing import PrivatePerInstance, SharedPerDevice, Sharing

P = TypeVar("P", bound=Policy)


class Seam(Generic[P]):
    """One kind of decision and the policies that are registered for it. Every policy of the seam
    derives from ``base``."""

    def __init__(self, name: str, base: type, known: Iterable[type[P]] = ()) -> None:
        self.name = name
        self._base = base
        self._known: dict[str, type[P]] = {}
        for policy in known:
            self.add(policy)

    @property
    def names(self) -> list[str]:
        """The registered names, sorted."""
        return sorted(self._known)

    def add(self, policy: type[P]) -> None:
        """Register ``policy`` under its name. Raise ``PolicyError`` if the name is taken."""
        if policy.name in self._known:
            raise PolicyError(f"policies: {self.name} {policy.name!r} is registered twice")
        self._known[policy.name] = policy

    def find(self, reference: str) -> type[P]:
        """Return the policy registered as ``reference``, or import it as ``package.module:Class``.
        Raise ``PolicyError``, with the known names or the reason why the class cannot be used."""
        if reference in self._known:
            return self._known[reference]
        if ":" not in reference:
            raise PolicyError(
                f"policies: {self.name} {reference!r} is unknown; known:"
                f" {', '.join(self.names)}, or a class as package.module:Class"
            )
        try:
            found: type[P] = imported(reference)
        except ImportError as error:
            raise PolicyError(f"policies: {self.name} {reference!r}: {error}") from error
        self._check(found, reference)
        return found

    def _check(self, found: Any, reference: str) -> None:
        where = f"policies: {self.name} {reference!r}"
        if not (isinstance(found, type) and issubclass(found, self._base)):
            base = f"{self._base.__module__}.{self._base.__qualname__}"
            raise PolicyError(f"{where}: is not a class derived from {base}")
        missing = [] if isinstance(getattr(found, "name", None), str) else ["name"]
        missing += sorted(getattr(found, "__abstractmethods__", ()))
        if missing:
            raise PolicyError(f"{where}: does not define {', '.join(missing)}")


SEAMS: Mapping[str, Seam[Any]] = {
    seam.name: seam
    for seam in (
        Seam[Sharing]("sharing", Sharing, (SharedPerDevice, PrivatePerInstance)),
        Seam[Preloading]("preloading", Preloading, (NoPreloading, ByDensity, ByExpectedArrival)),
        Seam[Batching]("batching", Batching, (FirstComeFirstServed, FillOrExpire)),
        Seam[Offloading]("offloading", Offloading, (NoOffloading, LeastRecentlyUsed, ValueDensity)),
        Seam[KeepAlive]("keep_alive", KeepAlive, (FixedKeepAlive,)),
        Seam[Placement]("placement", Placement, (EarliestCompletion,)),
        Seam[Admission]("admission", Admission, (AdmitAll, ShedHopeless)),
        Seam[Scaling]("scaling", Scaling, (WaitedAsLong, DelayedAsLong)),
    )
}


def policy_set(references: Mapping[str, str], options: PolicyOptions) -> PolicySet:
    """Build a policy set from ``references`` (seam → name or ``package.module:Class``) and the
    options of the system. Raise ``PolicyError`` if a seam or a policy is unknown or missing."""
    unknown = [seam for seam in references if seam not in SEAMS]
    if unknown:
        raise PolicyError(
            f"policies: seam {unknown[0]!r} is unknown; known: {', '.join(sorted(SEAMS))}"
        )
    required = [each.name for each in fields(PolicySet) if each.default is MISSING]
    missing = [seam for seam in required if seam not in references]
    if missing:
        raise PolicyError(f"policies: none is given for {', '.join(missing)}")
    factories: dict[str, Any] = {
        seam: partial(SEAMS[seam].find(reference).from_options, options)
        for seam, reference in references.items()
    }
    return PolicySet(**factories, new_rate=options.new_rate)
