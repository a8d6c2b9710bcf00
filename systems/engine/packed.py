"""The packed layout: an adapter as one flat buffer that every engine of its group computes from.

A header with the rank of each layer and target; then per fused projection, over all layers, the A
matrices of its targets stacked, (ranks, in), and their B side by side, (rank, out). The size
depends on the group alone. An adapter of lower ranks, or without some layers or targets, fills the
first rows of each matrix, and engines neither read nor multiply the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Self

import torch
from torch import Tensor

from systems.errors import AdapterError

from .adapter import (
    AdapterWeights,
    Delta,
    LayerAdapter,
    Part,
    StoredAdapter,
    check_finite,
)
from .config import ModelConfig
from .packed_size import header_bytes, packed_bytes, packed_elements
from .projections import FUSED, target_shapes

Move = Callable[[Sequence[Sequence[Tensor]], torch.device], Sequence[Tensor]]
"""Returns each group of tensors of one shape and dtype, stacked on a device, as they are, in time
for later launches there."""

TOGETHER = 64 << 20  # bytes of matrices that are moved at once

Placing = tuple[Sequence[Tensor], float, Tensor]
"""Stored matrices of one shape, what they are multiplied by, and their places in a packed buffer,
(matrices, …)."""


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
        dtype = str(self.dtype).removeprefix("torch.")
        return packed_bytes(self.config, self.rank, self.targets, dtype)

    @property
    def header(self) -> int:
        """Bytes before the matrices."""
        return header_bytes(self.config, self.targets)

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
    stored: StoredAdapter,
    shape: SlotShape,
    flat: Tensor | None = None,
    move: Move | None = None,
) -> Tensor:
    """Pack an adapter into ``flat``, a buffer of ``shape.nbytes`` on any device (None: a new one in
    host memory), and return it. Matrices are moved as stored, by ``move``; the buffer's device
    converts, scales and transposes them. Many are moved at once: beside other processes on a GPU,
    each change from copying to computing takes a turn of each of them. With ``move``, those of a
    target that are alike in all layers are one computation, since a launch takes longer than a
    matrix. Raise ``AdapterError`` if the adapter does not fit, or if a value is not finite in the
    dtype of ``shape``."""
    _check_fits(stored, shape)
    flat = torch.empty(shape.nbytes, dtype=torch.uint8) if flat is None else as_bytes(flat, shape)
    flat.zero_()
    _header(flat, shape).copy_(ranks_in(stored, shape), non_blocking=True)
    for chunk in _chunks(_placings(stored, shape, flat, alike=move is not None)):
        stacks = (move or _one_by_one)([halves for halves, _, _ in chunk], flat.device)
        for stack, (_, factor, out) in zip(stacks, chunk, strict=True):
            # Widened first, so that the product is rounded once. Multiplying also converts, and
            # loads one kernel only.
            torch.mul(stack.to(torch.promote_types(stack.dtype, out.dtype)), factor, out=out)
    check_finite(_elements(flat, shape), stored.name)
    return flat


def _one_by_one(groups: Sequence[Sequence[Tensor]], device: torch.device) -> Sequence[Tensor]:
    return [tensor[None].to(device) for (tensor,) in groups]


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


def ranks_in(stored: StoredAdapter, shape: SlotShape) -> Tensor:
    """Return the ranks of ``stored``, (layers, targets of ``shape``) int32; 0: it lacks one."""
    pairs, layers = stored.pairs, range(shape.config.num_layers)
    ranks = [
        [pairs[layer, each].rank if (layer, each) in pairs else 0 for each in shape.targets]
        for layer in layers
    ]
    return torch.tensor(ranks, dtype=torch.int32)


def ranks_of(flat: Tensor, shape: SlotShape) -> Tensor:
    """Return the ranks of a packed adapter in host memory, as :func:`ranks_in`. The header may come
    from another process: raise ``ValueError`` if it has a rank that does not fit."""
    ranks = _header(as_bytes(flat, shape), shape)
    least, most = (int(bound) for bound in torch.aminmax(ranks))
    if least < 0 or most > shape.rank:
        raise ValueError(
            f"a packed adapter of ranks {least} to {most}; 0 to {shape.rank} are allowed"
        )
    return ranks


def bounds_of(ranks: Tensor, shape: SlotShape, name: str) -> Tensor:
    """Return the row of A at which each target of a fused projection begins, and where the last
    one ends: (layers, targets of it + 1) int32."""
    columns = [shape.targets.index(span.target) for span in shape.spans[name]]
    bounds = torch.zeros(len(ranks), len(columns) + 1, dtype=torch.int32)
    torch.cumsum(ranks[:, columns], 1, out=bounds[:, 1:])
    return bounds


def unpack(flat: Tensor, shape: SlotShape, copy: Tensor | None = None) -> AdapterWeights:
    """Return a packed adapter in host memory as views of ``flat``, or of ``copy``, which has the
    same bytes on a device. Raise ``ValueError`` as :func:`ranks_of`."""
    whole = as_bytes(flat if copy is None else copy, shape)
    ranks, views = ranks_of(flat, shape), packed_views(whole, shape)
    bounds = {name: bounds_of(ranks, shape, name).tolist() for name in views}
    layers = tuple(
        LayerAdapter(
            **{
                name: _delta(a[index], b[index], bounds[name][index], shape.spans[name])
                for name, (a, b) in views.items()
            }
        )
        for index in range(shape.config.num_layers)
    )
    return AdapterWeights(layers, shape.nbytes)


def as_bytes(flat: Tensor, shape: SlotShape) -> Tensor:
    """Return a packed buffer of any dtype as bytes. Raise ``ValueError`` if its size differs from
    that of ``shape``."""
    if flat.nbytes != shape.nbytes:
        raise ValueError(f"a packed adapter of {flat.nbytes} bytes; {shape.nbytes} are needed")
    return flat.view(torch.uint8)


def _header(flat: Tensor, shape: SlotShape) -> Tensor:
    layers, targets = shape.config.num_layers, len(shape.targets)
    return flat[: 4 * layers * targets].view(torch.int32).view(layers, targets)


def _elements(flat: Tensor, shape: SlotShape) -> Tensor:
    stop = shape.header + shape.elements * shape.dtype.itemsize
    return flat[..., shape.header : stop].view(shape.dtype)


def _check_fits(stored: StoredAdapter, shape: SlotShape) -> None:
    if stored.rank > shape.rank or not set(stored.targets) <= set(shape.targets):
        raise AdapterError(
            f"{stored.name}: needs a slot of rank {stored.rank} on {', '.join(stored.targets)};"
            f" this one has rank {shape.rank} on {', '.join(shape.targets)}"
        )


def _placings(
    stored: StoredAdapter, shape: SlotShape, flat: Tensor, *, alike: bool
) -> Iterator[Placing]:
    """Yield every matrix of an adapter with its place in ``flat``; ``alike``: together with those
    of the layers that follow, if they differ in nothing but values."""
    ranks = ranks_in(stored, shape)
    for name, (a, b) in packed_views(flat, shape).items():
        bounds = bounds_of(ranks, shape, name).tolist()
        for column, span in enumerate(shape.spans[name]):
            lows = [row[column] for row in bounds]
            for layers in _layers(stored, span.target, lows, alike=alike):
                pairs = [stored.pairs[layer, span.target] for layer in layers]
                first, low = pairs[0], lows[layers.start]
                here = slice(layers.start, layers.stop)
                columns = slice(span.first, span.first + span.size)
                yield [pair.a for pair in pairs], 1.0, a[here, low : low + first.rank]
                into = b[here, : first.rank, columns].transpose(1, 2)
                yield [pair.b for pair in pairs], first.scaling, into


def _layers(
    stored: StoredAdapter, target: str, lows: Sequence[int], *, alike: bool
) -> Iterator[range]:
    """Yield the layers that have ``target``, each alone, or with those after it that are ``alike``;
    ``lows``: the row of A at which the target begins, by layer."""

    def kind(layer: int) -> object:
        pair = stored.pairs.get((layer, target))
        if pair is None:
            return None
        if not alike:
            return layer
        return pair.rank, pair.scaling, pair.a.dtype, pair.b.dtype, lows[layer]

    for found, group in groupby(range(len(lows)), kind):
        layers = list(group)
        if found is not None:
            yield range(layers[0], layers[-1] + 1)


def _chunks(placings: Iterable[Placing]) -> Iterator[list[Placing]]:
    """Divide placings into chunks of about ``TOGETHER`` bytes."""
    chunk: list[Placing] = []
    size = 0
    for each in placings:
        chunk.append(each)
        size += sum(half.nbytes for half in each[0])
        if size >= TOGETHER:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _delta(a: Tensor, b: Tensor, bounds: Sequence[int], spans: tuple[Span, ...]) -> Delta | None:
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
