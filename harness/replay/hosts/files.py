"""Files over a link, piece by piece."""

from __future__ import annotations

import base64
from pathlib import Path

from systems.runtime.links.link import Link, Message

_PIECE = 1 << 20


async def send_file(link: Link, path: Path) -> None:
    """Under its own name."""
    with path.open("rb") as file:
        while True:
            data = file.read(_PIECE)
            last = len(data) < _PIECE
            text = base64.b64encode(data).decode("ascii")
            link.send("file", name=path.name, data=text, last=last)
            await link.drain()
            if last:
                return


def take_piece(message: Message, folder: Path, names: frozenset[str]) -> bool:
    """Add a piece to its file in ``folder``; whether it was the last. ``ValueError`` for a file
    that is not among ``names``."""
    name = message["name"]
    if name not in names:
        raise ValueError(f"a file {name!r} that nobody asked for")
    with (folder / name).open("ab") as file:
        file.write(base64.b64decode(message["data"], validate=True))
    return bool(message["last"])
