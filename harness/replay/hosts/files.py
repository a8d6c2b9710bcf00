"""Sends and receives files over a link, in pieces."""

from __future__ import annotations

from pathlib import Path

from systems.runtime.links.link import Link

from .messages import PIECE, Piece


async def send_file(link: Link, path: Path) -> None:
    """Send the file under its own name."""
    with path.open("rb") as file:
        while True:
            data = file.read(PIECE)
            last = len(data) < PIECE
            link.send(Piece(path.name, data, last))
            await link.drain()
            if last:
                return


class Incoming:
    """Receives the file ``name`` into ``folder``."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self._name = folder, name
        self.path: Path | None = None
        self.complete = False

    def take(self, piece: Piece) -> bool:
        """Append a piece. Return whether it was the last. Raise ``ValueError`` for another file."""
        if piece.name != self._name or self.complete:
            raise ValueError(f"file {piece.name!r} was not requested")
        self.path = self.folder / piece.name
        with self.path.open("ab") as file:
            file.write(piece.data)
        self.complete = piece.last
        return self.complete
