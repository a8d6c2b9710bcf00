"""Which policies read which options of their system."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from systems.errors import PolicyError

from ..policy import PolicyOptions
from .registry import SEAMS, policy_set

OPTIONS = tuple(name for name, each in vars(PolicyOptions).items() if isinstance(each, property))
"""The options that only policies read."""


class _Noting:
    """Options that note which of them are read."""

    def __init__(self, options: PolicyOptions) -> None:
        self._options = options
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self._options, name)


def check_read(
    given: Collection[str], references: Mapping[str, str], options: PolicyOptions
) -> None:
    """Raise ``PolicyError`` for the first of the options ``given`` that none of the policies in
    ``references`` (seam → name or class) reads: it would change nothing."""
    noting: Any = _Noting(options)
    policy_set(references, noting).make()
    for name in OPTIONS:
        if name in given and name not in noting.read:
            readers = ", ".join(f"{seam}={policy}" for seam, policy in _readers(name, options))
            raise PolicyError(
                f"option {name}: none of the chosen policies reads it, so it would change nothing;"
                f" leave it out, or choose one that does ({readers})"
            )


def _readers(option: str, options: PolicyOptions) -> Iterator[tuple[str, str]]:
    """Yield the registered policies that read ``option``, each with its seam."""
    for seam in SEAMS.values():
        for name in seam.names:
            noting: Any = _Noting(options)
            seam.find(name).from_options(noting)
            if option in noting.read:
                yield seam.name, name
