"""An instance of many functions on a card: adapters that come and go, and batches of several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .card_passes import passes
from .card_probes import LONG, PLACES, SHORT
from .card_steps import Decoding, decoding, steps
from .found import Found, as_number, median
from .frames import Frames

if TYPE_CHECKING:
    from systems.models.sizes import ModelSize

    from .script import Script


def grouped(
    frames: Frames, script: Script, size: ModelSize, like: Decoding, fork_s: Found
) -> dict[str, Found]:
    """Measure the fields of ``grouped.<dtype>``. ``like``: an engine of one function; ``fork_s``:
    of the template, of which a parser is a fork."""
    short, long = (steps(frames, script.of(f"rows of {each}")) for each in (SHORT, LONG))
    of_one = passes(frames, script.of("alone"), script.of("two")).numbers(size.parameters / 1e9)
    own = decoding(short, long, size, like).numbers()
    return {
        **of_one,
        **own,
        "adapter_share": _share(frames, script),
        **_adapters(frames, script, size, as_number(fork_s)),
    }


def _share(frames: Frames, script: Script) -> Found:
    """Compare batches of as many adapters as requests with those of one adapter."""
    one, many = (
        [each.seconds for each in steps(frames, script.of(part)) if each.requests == PLACES]
        for part in ("one adapter", "many adapters")
    )
    more = np.maximum(np.array(many) / np.median(one) - 1, 0.0) / (PLACES - 1)
    return median(more, f"steps of {PLACES} requests, {PLACES} adapters against one")


def _adapters(frames: Frames, script: Script, size: ModelSize, fork_s: float) -> dict[str, Found]:
    copied = frames.seconds("adapter", script.of("copied"))
    first = frames.seconds("adapter", script.of("parsed"))
    copy_s = float(np.median(copied))
    parse_s = max(float(np.median(first)) - copy_s - fork_s, 1e-6)
    of = f"{size.adapter_bytes / 1e6:.3g} MB"
    parsed = f"{of}, adapter stage of first calls, median of {len(first)}, less fork_s and the copy"
    how = f"{of}, parsed before, into a place: adapter stage of warm calls, median of {len(copied)}"
    return {
        "parse_s": Found(fork_s, "fork_s: a parser is a fork of the template", "derived"),
        "parse_bytes_per_s": Found(size.adapter_bytes / parse_s, parsed),
        "adapter_s": Found(0.0, "the time is part of adapter_bytes_per_s", "derived"),
        "adapter_bytes_per_s": Found(size.adapter_bytes / copy_s, how),
    }
