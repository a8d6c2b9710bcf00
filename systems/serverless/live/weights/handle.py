"""A shared copy on its way to those who map it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from systems.runtime.channel import Message


@dataclass(frozen=True, slots=True)
class Export:
    """What grants a mapping: a descriptor, which travels beside a message, or the 64 bytes of a
    cudaIpc handle (in hexadecimal), which travel in it."""

    fd: int | None = None
    handle: str = ""

    @classmethod
    def of(cls, message: Message, fds: Sequence[int]) -> Self:
        return cls(fds[0] if fds else None, message.get("handle", ""))

    @property
    def fds(self) -> list[int]:
        return [] if self.fd is None else [self.fd]

    @property
    def fields(self) -> Message:
        return {"handle": self.handle} if self.handle else {}

    def __bool__(self) -> bool:
        """Whether anything can be mapped by it."""
        return self.fd is not None or bool(self.handle)
