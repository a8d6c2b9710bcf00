"""``slbench profile --device cuda``: measures a card as a device profile for the simulator.

As on the CPU, probes are ordinary live cells, and every number is a fit, a median or, for passes
and steps, a lower quartile over their records. What leaves no trace in records keeps the number of
another card's profile, which its source names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from systems.simulation.profile import load_profile

from . import card_cells, card_settings
from .beside import batches_beside, beside_copies, host_rows, share_of_start, waits_of_kernels
from .card_cells import DTYPE, CardCells, Probed
from .card_grouped import grouped
from .card_passes import Passes, mixed_saved, passes
from .card_probes import LONG, RUNNING, SHORT
from .card_starts import first_calls
from .card_steps import Decoding, decoding, steps
from .found import Found, as_number, distribution, median
from .measured import Measured
from .parking import offload
from .probe import Probe, kept_in
from .servers import merging
from .starts import alone_s, processes, rates, reading_s, transport

if TYPE_CHECKING:
    from harness.execution.progress import Progress
    from systems.models.sizes import ModelSize
    from systems.simulation.number import Number

    from .frames import Frames

LIKE = "h100"
"""The profile whose numbers stand for what records do not show."""


def measure_card(
    backbone: str,
    progress: Progress,
    *,
    memory_gib: float = 64,
    records: Path | None = None,
    by_profile: str | None = None,
) -> Measured:
    """Measure each profile field, and those of a table as ``table.field``: value and source. Takes
    about eight minutes on an otherwise idle machine. ``records``: where the records of the probes
    are kept; cells that are there are not run again; None: they are removed. ``by_profile``
    simulates the probes with a known profile instead; the result must then equal that profile."""
    from systems.models.sizes import model_size

    size = model_size(backbone, DTYPE, 16, "cuda")
    with kept_in(records) as folder:
        target = card_cells.on_card(backbone, memory_gib)
        cells = card_cells.run(Probe(folder, target, progress, by_profile))
        return Measured(_numbers(cells, size), card_settings.plain(), _machine(cells, backbone))


def _machine(cells: CardCells, backbone: str) -> str:
    """Return what the probes ran on, which need not be this machine."""
    return f"{cells.manifest.gpus or 'a simulated card'}, {backbone} in {DTYPE}"


def _numbers(cells: CardCells, size: ModelSize) -> dict[str, Found]:
    shared, sent = cells.shared.frames(), cells.shared
    alone, of_prompts = _batches(shared, sent, size)
    numbers = {
        **card_settings.numbers(cells.manifest.machine["cores"]),
        **_starting(cells, size),
        **first_calls(shared, sent.of("one step"), sent.of("two steps"), of_prompts, alone),
        **of_prompts.numbers(size.parameters / 1e9),
        **alone.numbers(),
        "decode_bytes_per_s": Found(alone.bytes_per_s, alone.how),
        **_parked(cells.parked),
        **transport(shared.of(sent.of("alone"))),
    }
    numbers |= _beside(shared, sent, alone, numbers["kernels_s"])
    numbers |= _taken(cells.taken)
    numbers |= _mixed(cells.taken, of_prompts, alone, size.parameters / 1e9)
    many, fork_s = cells.grouped, numbers["fork_s"]
    of_many = grouped(many.frames(), many.script, size, alone, fork_s)
    numbers |= _table(f"grouped.{DTYPE}", of_many) | _server(cells.server)
    return _tables_last(numbers)


def _tables_last(numbers: dict[str, Found]) -> dict[str, Found]:
    """Sort numbers of tables behind the others, those of a table beside each other."""
    return dict(sorted(numbers.items(), key=lambda each: each[0].rpartition(".")[0]))


def _table(name: str, numbers: dict[str, Found]) -> dict[str, Found]:
    return {f"{name}.{field}": each for field, each in numbers.items()}


def _batches(shared: Frames, sent: Probed, size: ModelSize) -> tuple[Decoding, Passes]:
    short, long = (steps(shared, sent.of(f"rows of {each}")) for each in (SHORT, LONG))
    return decoding(short, long, size), passes(shared, sent.of("alone"), sent.of("two"))


def _starting(cells: CardCells, size: ModelSize) -> dict[str, Found]:
    """Measure what a process needs before its engine. A fork reads its adapter while its context
    starts, so a prewarmed process tells how long that takes, and forks what both take together."""
    sent, shared = cells.shared, cells.shared.frames()
    forks = sent.of("one step", "two steps")
    first = (sent, "nothing"), (cells.parked, "first"), (cells.grouped, "nothing")
    reads_s = [reading_s(cell.frames(), *cell.of(part)) for cell, part in first]
    read = median(cells.taken.frames().seconds("adapter", cells.taken.of("alone")), "adapter stage")
    told = f"{size.adapter_bytes / 1e6:.3g} MB, prewarmed processes taken over: {read.source}"
    mapped = shared.together(["backbone", "adapter"], forks) - as_number(read)
    of_private = cells.private.frames()
    private = of_private.of(cells.private.of("alone"))
    beside = beside_copies(of_private, cells.private.of("at once"), alone_s(private))
    return {
        **processes(shared, forks, private),
        "map_s": distribution(mapped, "backbone and adapter of forks, less the adapter alone"),
        **rates(reads_s, private, size),
        **beside,
        "adapter_s": Found(0.0, "the time is part of adapter_bytes_per_s", "derived"),
        "adapter_bytes_per_s": Found(size.adapter_bytes / as_number(read), told),
    }


def _beside(shared: Frames, sent: Probed, alone: Decoding, kernels_s: Found) -> dict[str, Found]:
    batches = batches_beside(shared, sent.of("beside"), alone)
    started, others = sent.of("started"), sent.of("others")
    starts = {
        "share": share_of_start(shared, others, alone, batches["waits"]),
        "waits": waits_of_kernels(shared, started, others, kernels_s),
    }
    crowd = host_rows(shared, sent.of("crowd"), alone, batches["waits"])
    return {**crowd, **_table("batches_beside", batches), **_table("starts_beside", starts)}


def _taken(sent: Probed) -> dict[str, Found]:
    """Measure prewarmed processes that become instances. What that and preparation take from
    batches is too little, or too slow, to be seen."""
    taken, like = sent.frames(), load_profile(LIKE)
    assert like.takeover_beside is not None
    assert like.preparation_beside is not None
    spare_s = median(taken.seconds("kernels", sent.of("alone")), "kernels of takeovers")
    beside = {
        "share": _kept(like.takeover_beside.share),
        "waits": waits_of_kernels(taken, sent.of("beside"), sent.of("others"), spare_s),
    }
    preparation = {field: _kept(number) for field, number in like.preparation_beside}
    return {
        "spare_s": spare_s,
        "remap_s": _kept(like.remap_s),
        "before_load_s": _kept(like.before_load_s),
        **_table("takeover_beside", beside),
        **_table("preparation_beside", preparation),
    }


def _mixed(sent: Probed, of_prompts: Passes, alone: Decoding, gparams: float) -> dict[str, Found]:
    parts = sent.of("running"), sent.of("mixed")
    saved = mixed_saved(sent.frames(), *parts, of_prompts, alone)
    told = (
        f"passes over prompts beside {RUNNING} requests that decode, by tokens, lower quartiles,"
        f" less than those and their steps apart, over {gparams:.4g}e9 parameters"
    )
    points = tuple((tokens, seconds / gparams) for tokens, seconds in saved)
    return {"mixed_saved_s_per_gparam": Found(points, told)}


def _kept(number: Number | None) -> Found:
    assert number is not None, f"profile {LIKE} has all numbers"
    told = f"not seen in records, as in profile {LIKE}: {number.source}"
    return Found(number.value, told, "derived")


def _parked(sent: Probed) -> dict[str, Found]:
    parked = sent.frames()
    woken = parked.seconds("kernels", sent.of("woken"))
    return {**offload(parked), "parked_batch_s": median(woken, "kernels of woken instances")}


def _server(sent: Probed) -> dict[str, Found]:
    numbers = {**merging(sent.cell, DTYPE), "process_bytes": card_settings.process_bytes()}
    return _table(f"servers.{DTYPE}", numbers)
