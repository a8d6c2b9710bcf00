"""Which artifacts are put in place before a request needs them."""

from __future__ import annotations

from typing import Protocol


class Preloading(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def forks(self) -> bool:
        """Whether instances are forked from a template that holds the libraries."""


class NoPreloading:
    """Every instance is a fresh process that imports its libraries itself."""

    name = "none"
    forks = False


class LibraryTemplate:
    """Libraries are imported once, on first need, into a template that instances are forked
    from; they are in place in every instance from its first instruction."""

    name = "library-template"
    forks = True
