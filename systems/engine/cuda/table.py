"""Several adapters on the device, by name. Each step takes its sequences' place numbers as an
input; number 0 is the backbone alone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from systems.engine.packed import SlotShape
from systems.engine.places import Places

from .adapter_memory import AdapterMemory
from .ops import LoraPlaces


class AdapterTable:
    """Device memory for ``count`` adapters of ``shape``."""

    def __init__(self, shape: SlotShape, count: int, device: str) -> None:
        self.shape = shape
        self.places = Places(count)
        self._memory = AdapterMemory(shape, count, device)

    @property
    def nbytes(self) -> int:
        return self._memory.nbytes

    def hold(self, name: str, packed: Tensor) -> None:
        """Store a packed adapter as ``name``. Raise ``ValueError``, changing nothing, if ``name``
        is held, the table is full, or the buffer does not have the table's shape."""
        number = self.places.take(name)
        try:
            self._memory.put(number, packed)
        except ValueError:
            self.places.leave(name)
            raise

    def place(self, name: str) -> Tensor:
        """Return the bytes of the packed adapter ``name`` on the device."""
        return self._memory.place(self.places.number(name))

    def rehearse(self) -> None:
        """Set up what :meth:`hold` copies through, page-locked memory among it, by a first copy."""
        self.clear(1)

    def clear(self, number: int) -> None:
        """Empty a place that was left."""
        self._memory.clear(number)

    def numbers(self, names: Sequence[str | None]) -> list[int] | None:
        """Return the number of each sequence's place."""
        return [self.places.number(name) for name in names]

    def modes(self, sequences: int) -> list[list[int] | None]:
        """Return the values of :meth:`numbers` for which graphs differ."""
        return [[0] * sequences]

    def at(self, name: str, index: int) -> LoraPlaces | None:
        """Return the adapters of a fused projection in layer ``index``; None: none has any."""
        return self._memory.at(name, index)
