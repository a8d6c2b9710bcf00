"""Measure how long a backbone takes from the page cache to one card, and from there to all others,
at the shapes of Llama-2-7B in fp16:

    python -m tests.benchmarks.cuda_spread [BACKBONE]

Loaders stand by on all cards, as in a run with ``prewarmed``. The others are asked one after
another, and, from a second copy, at once. A time is from the request to the loader's answer.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from systems.models import ensure_backbone
from systems.runtime.cards import Cards, handles
from systems.runtime.processes import Processes
from systems.serverless.live import roles
from tests.gpu.loaders import Loader, close

DTYPE = "float16"


async def _ready(
    processes: Processes, cards: Cards, devices: list[str], model: Path
) -> dict[str, Loader]:
    found = {name: Loader(processes, cards.all_from(cards.uuid(name))) for name in devices}
    await asyncio.gather(*(each.stands_by(cards.uuid(n), model) for n, each in found.items()))
    return found


async def _fill(loader: Loader, model: Path, card: str, source: list[int]) -> tuple[int, float]:
    answer, fd, took_s = await loader.fills(model, DTYPE, card, source, audited=False)
    assert not answer.problem, answer.problem
    return fd, took_s


async def main(backbone: str) -> None:
    names = [f"cuda:{n}" for n in range(len(handles()))]
    cards, model = Cards.here(names), ensure_backbone(backbone)
    processes = Processes("cuda", roles.TEMPLATE)
    for at_once in (False, True):
        loaders = await _ready(processes, cards, names, model)
        first, took_s = await _fill(loaders[names[0]], model, cards.uuid(names[0]), [])
        print(f"{names[0]}: read in {1e3 * took_s:.1f} ms", flush=True)
        copies = [_fill(loaders[n], model, cards.uuid(n), [first]) for n in names[1:]]
        if at_once:
            found = await asyncio.gather(*copies)
        else:
            found = [await each for each in copies]
        for name, (_, took_s) in zip(names[1:], found, strict=True):
            how = "at once" if at_once else "alone"
            print(f"{name}: copied from {names[0]} in {1e3 * took_s:.1f} ms, {how}", flush=True)
        close(first, *(fd for fd, _ in found))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["llama2-7b"]))
