"""The shared-weights handle, which lets other processes map a shared copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class SharedWeightsHandle:
    """Either a file descriptor, which is sent beside a message, or the 64 bytes of a cudaIpc
    handle (in hexadecimal), which are sent in it."""

    fd: int | None = None
    handle: str = ""

    @classmethod
    def of(cls, handle: str, fds: Sequence[int]) -> Self:
        """Make the handle from the fields and descriptors of a message."""
        return cls(fds[0] if fds else None, handle)

    @property
    def fds(self) -> list[int]:
        return [] if self.fd is None else [self.fd]

    def __bool__(self) -> bool:
        """Whether the handle is not empty."""
        return self.fd is not None or bool(self.handle)
