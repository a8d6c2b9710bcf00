"""The packed layout: an adapter as one flat buffer that every engine of its group computes from.

A header with the rank on each target; then per fused projection, over all layers, the A matrices of
its targets stacked, (ranks, in), and their B side by side, (rank, out). The size depends on the
group alone. An adapter of a lower rank or of fewer targets fills the first rows of each matrix, and
engines neither read nor multiply the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from systems.errors import AdapterError

from .adapter import (
    FUSED,
    AdapterWeights,
    Delta,
    LayerAdapter,
    Part,
    StoredAdapter,
    check_finite,
)
from .adapter_files import target_shapes
from .config import ModelConfig
from .packed_size import HEADER, packed_bytes, packed_elements

Move = Callable[[Sequence[Tensor], torch.device], Sequence[Tensor]]
"""Returns copies of tensors on a device, as they are, in time for later launches there."""

TOGETHER = 64 << 20  # bytes of matrices that are moved at once

Placing = tuple[Tensor, float, Tensor]
"""A stored matrix, what it is multiplied by, and its place in a packed buffer."""


def _to(tensors: Sequence[Tensor], device: torch.device) -> Sequence[Tensor]:
    return [tensor.to(device) for tensor in tensors]


@dataclass(frozen=True, slots=True)
class Span:
    """The ``size`` columns of a target: from ``start`` in the fused projection, from ``first`` in
    the packed B."""

    target: str
    start: int
    first: int
    size: int


@dataclass(frozen=True, slots=True)
class SlotShape:
    """What fits: rank up to ``rank`` on each of ``targets``. Elements are ``dtype``."""

    config: ModelConfig
    rank: int
    targets: tuple[str, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, config: ModelConfig, rank: int, targets: Iterable[str], dtype: torch.dtype) -> Self:
        return cls(config, rank, tuple(sorted(targets)), dtype)

    @property
    def spans(self) -> dict[str, tuple[Span, ...]]:
        """Fused projection → its targets, in order."""
        return {name: found for name in FUSED if (found := self._spans(name))}

    @property
    def matrices(self) -> dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]]:
        """Fused projection → shapes of its A (layers, ranks, in) and B (layers, rank, out)."""
        shapes, layers = target_shapes(self.config), self.config.num_layers
        return {
            name: (
                (layers, len(spans) * self.rank, shapes[spans[0].target][1]),
                (layers, self.rank, sum(span.size for span in spans)),
            )
            for name, spans in self.spans.items()
        }

    @property
    def elements(self) -> int:
        return packed_elements(self.config, self.rank, self.targets)

    @property
    def nbytes(self) -> int:
        """Bytes of a packed adapter."""
        return packed_bytes(self.elements, str(self.dtype).removeprefix("torch."))

    def _spans(self, name: str) -> tuple[Span, ...]:
        spans: list[Span] = []
        start = first = 0
        for target in FUSED[name]:
            size = target_shapes(self.config)[target][0]
            if target in self.targets:
                spans.append(Span(target, start, first, size))
                first += size
            start += size
        return tuple(spans)


def pack(
    stored: StoredAdapter, shape: SlotShape, flat: Tensor | None = None, move: Move = _to
) -> Tensor:
    """Pack an adapter into ``flat``, a buffer of ``shape.nbytes`` on any device (None: a new one in
    host memory), and return it. Matrices are moved as stored, by ``move``; the buffer's device
    converts, scales and transposes them. Many are moved at once: beside other processes on a GPU,
    each change from copying to computing takes a turn of each of them. Raise ``AdapterError`` if
    the adapter does not fit, or if a value is not finite in the dtype of ``shape``."""
    _check_fits(stored, shape)
    flat = torch.empty(shape.nbytes, dtype=torch.uint8) if flat is None else as_bytes(flat, shape)
    flat.zero_()
    ranks = torch.tensor(list(ranks_in(stored, shape).values()), dtype=torch.int32)
    _header(flat, shape).copy_(ranks, non_blocking=True)
    for chunk in _chunks(_placings(stored, shape, flat)):
        for half, (_, factor, out) in zip(
            move([half for half, _, _ in chunk], flat.device), chunk, strict=True
        ):
            # Widened first, so that the product is rounded once. Multiplying also converts, and
            # loads one kernel only.
            torch.mul(half.to(torch.promote_types(half.dtype, out.dtype)), factor, out=out)
    check_finite(_elements(flat, shape), stored.name)
    return flat


def packed_views(flat: Tensor, shape: SlotShape) -> dict[str, tuple[Tensor, Tensor]]:
    """Return A and B of each fused projection as views of ``flat``: bytes, (…, shape.nbytes)."""
    elements = _elements(flat, shape)
    found: dict[str, tuple[Tensor, Tensor]] = {}
    start = 0
    for name, pair in shape.matrices.items():
        halves = []
        for each in pair:
            stop = start + math.prod(each)
            halves.append(elements[..., start:stop].view(*flat.shape[:-1], *each))
            start = stop
        found[name] = (halves[0], halves[1])
    return found


def ranks_in(stored: StoredAdapter, shape: SlotShape) -> dict[str, int]:
    """Return the rank of ``stored`` on each target of ``shape``; 0: it lacks the target."""
    return {target: stored.rank if target in stored.targets else 0 for target in shape.targets}


def ranks_of(flat: Tensor, shape: SlotShape) -> dict[str, int]:
    """Return the rank on each target of ``shape``; 0: the adapter lacks it. The header may come
    from another process: raise ``ValueError`` if it has a rank that does not fit."""
    ranks = _header(as_bytes(flat, shape), shape).tolist()
    if not all(0 <= rank <= shape.rank for rank in ranks):
        raise ValueError(f"a packed adapter of ranks {ranks}; 0 to {shape.rank} are allowed")
    return dict(zip(shape.targets, ranks, strict=True))


def bounds_of(ranks: Mapping[str, int], spans: tuple[Span, ...]) -> list[int]:
    """Return the row of A at which each target of a fused projection begins, and where the last
    one ends."""
    bounds = [0]
    for span in spans:
        bounds.append(bounds[-1] + ranks[span.target])
    return bounds


def unpack(flat: Tensor, shape: SlotShape) -> AdapterWeights:
    """Return a packed adapter as views of ``flat``. Raise ``ValueError`` as :func:`ranks_of`."""
    ranks, views = ranks_of(flat, shape), packed_views(as_bytes(flat, shape), shape)
    layers = tuple(
        LayerAdapter(
            **{
                name: _delta(a[index], b[index], ranks, shape.spans[name])
                for name, (a, b) in views.items()
            }
        )
        for index in range(shape.config.num_layers)
    )
    targets = tuple(target for target, rank in ranks.items() if rank)
    return AdapterWeights(layers, shape.nbytes, max(ranks.values()), targets)


def as_bytes(flat: Tensor, shape: SlotShape) -> Tensor:
    """Return a packed buffer of any dtype as bytes. Raise ``ValueError`` if its size differs from
    that of ``shape``."""
    if flat.nbytes != shape.nbytes:
        raise ValueError(f"a packed adapter of {flat.nbytes} bytes; {shape.nbytes} are needed")
    return flat.view(torch.uint8)


def _header(flat: Tensor, shape: SlotShape) -> Tensor:
    return flat[:HEADER].view(torch.int32)[: len(shape.targets)]


def _elements(flat: Tensor, shape: SlotShape) -> Tensor:
    stop = HEADER + shape.elements * shape.dtype.itemsize
    return flat[..., HEADER:stop].view(shape.dtype)


def _check_fits(stored: StoredAdapter, shape: SlotShape) -> None:
    if stored.rank > shape.rank or not set(stored.targets) <= set(shape.targets):
        raise AdapterError(
            f"{stored.name}: rank {stored.rank} on {', '.join(stored.targets)}; a slot of rank"
            f" {shape.rank} on {', '.join(shape.targets)} cannot take it"
        )


def _placings(stored: StoredAdapter, shape: SlotShape, flat: Tensor) -> Iterator[Placing]:
    """Yield every matrix of an adapter with its place in ``flat``."""
    for name, (a, b) in packed_views(flat, shape).items():
        low = 0
        for span in shape.spans[name]:
            if span.target in stored.targets:
                high = low + stored.rank
                columns = b[:, : stored.rank, span.first : span.first + span.size]
                yield from _of_target(stored, span.target, a[:, low:high], columns)
                low = high


def _of_target(stored: StoredAdapter, target: str, a: Tensor, b: Tensor) -> Iterator[Placing]:
    """Yield one target's places in ``a`` (layers, rank, in) and ``b`` (layers, rank, out)."""
    for layer in range(len(a)):
        if (layer, target, "A") in stored.pairs:
            yield stored.pairs[layer, target, "A"], 1.0, a[layer]
            yield stored.pairs[layer, target, "B"], stored.scaling, b[layer].t()


def _chunks(placings: Iterable[Placing]) -> Iterator[list[Placing]]:
    """Divide placings into chunks of about ``TOGETHER`` bytes."""
    chunk: list[Placing] = []
    size = 0
    for each in placings:
        chunk.append(each)
        size += each[0].nbytes
        if size >= TOGETHER:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _delta(a: Tensor, b: Tensor, ranks: Mapping[str, int], spans: tuple[Span, ...]) -> Delta | None:
    bounds = bounds_of(ranks, spans)
    parts = tuple(
        Part(
            span.start,
            span.start + span.size,
            low,
            high,
            b[: high - low, span.first : span.first + span.size],
        )
        for span, low, high in zip(spans, bounds, bounds[1:], strict=False)
        if high > low
    )
    return Delta(a[: bounds[-1]], parts) if parts else None
