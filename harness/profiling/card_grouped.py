"""An instance of many functions on a card: adapters that come and go, and batches of several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .card_passes import passes
from .card_probes import LONG, PLACES, SHORT
from .card_steps import Decoding, decoding, steps
from .found import Found, median
from .frames import Frames

if TYPE_CHECKING:
    from systems.models.sizes import ModelSize

    from .script import Script


def grouped(frames: Frames, script: Script, size: ModelSize, like: Decoding) -> dict[str, Found]:
    """Measure the fields of ``grouped.<dtype>``. ``like``: an engine of one function."""
    short, long = (steps(frames, script.of(f"rows of {each}")) for each in (SHORT, LONG))
    of_one = passes(frames, script.of("alone"), script.of("two")).numbers(size.parameters / 1e9)
    own = decoding(short, long, size, like).numbers()
    return {
        **of_one,
        **own,
        "adapter_share": _share(frames, script),
        **_adapters(frames, script, size),
    }


def _share(frames: Frames, script: Script) -> Found:
    """Compare batches of as many adapters as requests with those of one adapter."""
    one, many = (
        [each.seconds for each in steps(frames, script.of(part)) if each.requests == PLACES]
        for part in ("one adapter", "many adapters")
    )
    more = np.maximum(np.array(many) / np.median(one) - 1, 0.0) / (PLACES - 1)
    return median(more, f"steps of {PLACES} requests, {PLACES} adapters against one")


def _adapters(frames: Frames, script: Script, size: ModelSize) -> dict[str, Found]:
    copied = frames.seconds("adapter", script.of("copied"))
    first = frames.seconds("adapter", script.of("parsed"))
    copy_s = float(np.median(copied))
    parse_s = np.maximum(first - copy_s, 0.0)
    how = f"{size.adapter_bytes / 1e6:.3g} MB, parsed before, into a place: median of {len(copied)}"
    return {
        "parse_s": median(parse_s, "adapter stage of first calls, less the copy"),
        "adapter_s": Found(0.0, "the time is part of adapter_bytes_per_s", "derived"),
        "adapter_bytes_per_s": Found(size.adapter_bytes / copy_s, how),
    }
