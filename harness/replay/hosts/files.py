"""Files over a link, piece by piece."""

from __future__ import annotations

from pathlib import Path

from systems.runtime.links.link import Link

from .messages import PIECE, Piece


async def send_file(link: Link, path: Path) -> None:
    """Under its own name."""
    with path.open("rb") as file:
        while True:
            data = file.read(PIECE)
            last = len(data) < PIECE
            link.send(Piece(path.name, data, last))
            await link.drain()
            if last:
                return


class Incoming:
    """One file from the other end, one of ``names``, into ``folder``."""

    def __init__(self, folder: Path, names: frozenset[str]) -> None:
        self.folder, self._names = folder, names
        self.path: Path | None = None
        self.complete = False

    def take(self, piece: Piece) -> bool:
        """Add a piece; whether it was the last. ``ValueError`` for another file."""
        if piece.name not in self._names or self.complete:
            raise ValueError(f"a file {piece.name!r} that nobody asked for")
        self._names = frozenset({piece.name})
        self.path = self.folder / piece.name
        with self.path.open("ab") as file:
            file.write(piece.data)
        self.complete = piece.last
        return self.complete
