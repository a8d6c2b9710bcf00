"""The shared-weights handle, which lets other processes map a shared copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from systems.runtime.channel import Message


@dataclass(frozen=True, slots=True)
class Export:
    """Either a file descriptor, which is sent beside a message, or the 64 bytes of a cudaIpc
    handle (in hexadecimal), which are sent in it."""

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
        """Whether the handle is not empty."""
        return self.fd is not None or bool(self.handle)
