"""Messages between a node and its parsers."""

from __future__ import annotations

from systems.runtime.incoming import MOST_OF_A_MESSAGE, Incoming
from systems.runtime.messages import Document, Failed, Message, Name, PositiveCount

from ..messages import SlotShape, Stamp


class ParseAdapter(Message, frozen=True, tag="parse"):
    """Parse the peft directory ``folder`` and pack it for a slot of ``shape`` with elements of
    ``dtype``, into the memory file of ``nbytes`` sent with the message. ``stamps`` identify its
    files at deployment; ``config`` is the backbone's. ``memory_bytes``: what parsing may take."""

    folder: Name
    stamps: tuple[Stamp, ...]
    config: Document
    shape: SlotShape
    dtype: Name
    nbytes: PositiveCount
    memory_bytes: PositiveCount


class Parsed(Message, frozen=True):
    """The memory file holds the packed adapter and is not mapped any more."""


PARSER_SAYS = Incoming(Parsed | Failed)
PARSER_HEARS = Incoming(ParseAdapter, descriptors=1, most_bytes=MOST_OF_A_MESSAGE)
