"""The artifacts that an instance's process holds: its backbone, adapters, and engine."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systems.runtime import process
from systems.runtime.packets import close_all
from systems.runtime.preparation_pace import Pace
from systems.runtime.sandbox import confine

from ..core.artifacts import Artifact
from . import device_backend
from .adapters import memory_file
from .messages import Configure, LoadArtifact, SlotShape
from .weights.handle import SharedWeightsHandle

if TYPE_CHECKING:
    from systems.engine.batching import Batching
    from systems.engine.checkpoint import BackboneLayout
    from systems.engine.weights import BackboneWeights


_EngineShape = tuple[SlotShape | None, int, int]


def _engine_shape(config: Configure) -> _EngineShape:
    """Return what engines of one deployment may differ in: slots, places, and requests at once."""
    return config.slot, config.places, config.max_batch_size


class InstanceArtifacts:
    """Loads and releases artifacts. ``engine`` is there once the kernels are loaded; ``cross`` is
    the same engine, if it has places for adapters."""

    def __init__(self) -> None:
        self.weights: BackboneWeights | None = None
        self.engine: Batching | None = None
        self.cross: Any = None
        self.adapter: Any = None  # in the form that its device backend takes
        self.unprepared = False
        """Whether the engine has steps of preparation left."""
        self.pace = Pace()
        self._config: Configure
        self._place: device_backend.DeviceBackend
        self._layout: BackboneLayout
        self._built_for: _EngineShape
        self._settled = self._completed = False
        self._loaders: dict[Artifact, Callable[[LoadArtifact, list[int]], None]] = {
            Artifact.LIBRARIES: self._load_libraries,
            Artifact.BACKBONE: self._load_backbone,
            Artifact.ADAPTER: self._load_adapter,
            Artifact.KERNELS: self._load_kernels,
        }

    def configure(self, config: Configure) -> None:
        self._config = config
        self._place = device_backend.BACKENDS[config.device]

    # -- loading ----------------------------------------------------------------------------

    def load(self, message: LoadArtifact, fds: list[int]) -> None:
        """Load one artifact, after those that it needs. Raise ``SystemsError``, ``OSError`` or
        ``MemoryError`` if that fails."""
        if message.artifact is not Artifact.LIBRARIES and not self._settled:
            self.settle_in()
        self._loaders[message.artifact](message, fds)

    def settle_in(self) -> None:
        """Tighten the sandbox after the import of libraries, which needs more, and before any read
        of a tenant's files."""
        own = (self._config.model_dir, self._config.adapter, *self._config.later)
        paths = [Path(path) for path in own if path]
        confine.settle_in(self._config.device, paths, self._config.memory_bytes)
        self._settled = True

    def _complete(self) -> None:
        """Tighten the sandbox after the start of the device, which needs more."""
        if not self._completed:
            confine.complete(self._config.device)
            self._completed = True

    def _load_libraries(self, message: LoadArtifact, fds: list[int]) -> None:  # noqa: ARG002
        process.import_libraries(self._config.device)

    def _load_backbone(self, message: LoadArtifact, fds: list[int]) -> None:
        """Map the shared copy of the message or read a private one, unless done when prewarmed."""
        from systems.engine.checkpoint import BackboneLayout

        if self.weights is not None:
            close_all(fds)
            return
        assert message.layout is not None, "a backbone comes with its layout"
        self._layout = BackboneLayout.from_json(message.layout)
        model_dir = Path(self._config.model_dir)
        if self._place.start is not None:
            self._place.start()
            self._read_adapter()
        self._place.check_card(self._config.card)  # after the start, which it would wait for
        self.weights = self._place.weights(
            self._layout, model_dir, SharedWeightsHandle.of(message.handle, fds)
        )

    def _load_adapter(self, message: LoadArtifact, fds: list[int]) -> None:  # noqa: ARG002
        """Read the adapter, unless it was read during device startup or is still in the container
        after an offload."""
        self._read_adapter()

    def _read_adapter(self) -> None:
        """Read the adapter as it was deployed: the memory ledger holds its size at deployment."""
        if self.adapter is None and self._config.adapter:
            folder = Path(self._config.adapter)
            self.adapter = self._place.adapter(folder, self._layout, self._config.stamps)

    def _load_kernels(self, message: LoadArtifact, fds: list[int]) -> None:  # noqa: ARG002
        """Build the engine and prepare all that the first request would otherwise wait for."""
        assert self.weights is not None, "artifacts are loaded in order of precedence"
        self.pace.prepared()  # the kernels include the first step
        if not self._has_fitting_engine():
            if self.engine is not None:
                self._release({Artifact.KERNELS})  # the device may have no memory for both
            self._build_engine(self.weights)
        self._complete()

    def _has_fitting_engine(self) -> bool:
        """Return whether a prewarmed process has an engine for its instance. One without places
        takes the instance's adapter if it can."""
        if self.engine is None:
            return False
        if self._config.places or self.cross is not None:
            return self._built_for == _engine_shape(self._config)
        return self._place.adapt(self.engine, self.adapter)

    def _build_engine(self, weights: BackboneWeights) -> None:
        config = self._config
        if config.places:
            self.engine = self.cross = self._place.cross_engine(config, self._layout, weights)
        else:
            self.engine = self._place.engine(config, self._layout, weights, self.adapter)
        self._built_for, self.unprepared = _engine_shape(config), True

    # -- preparing --------------------------------------------------------------------------

    def preparation_ms(self) -> int | None:
        """Return how long the next step of preparation has to wait; None if there is none."""
        return self.pace.wait_ms() if self.engine is not None and self.unprepared else None

    def prepare(self) -> bool:
        """Take a step of preparation; return whether steps are left."""
        assert self.engine is not None, "an engine that is there is prepared"
        self.unprepared = self.engine.prepare()
        self.pace.prepared()
        return self.unprepared

    # -- adapters in places -----------------------------------------------------------------

    def hold(self, function: str, fd: int, nbytes: int) -> None:
        """Put an adapter into a place. Raise ``SystemsError``, ``OSError``, ``ValueError`` or
        ``MemoryError`` if its memory file cannot be used."""
        from systems.engine.weights import bytes_of

        self.cross.hold(function, bytes_of(memory_file.map_sealed(fd, nbytes)))

    def drop(self, function: str) -> None:
        self.cross.drop(function)

    # -- releasing --------------------------------------------------------------------------

    def offload(self, artifacts: Iterable[Artifact]) -> None:
        """Release artifacts, except those that stay in the container."""
        self._release(set(artifacts) - self._place.in_container)

    def vacate(self) -> None:
        """Release all that the function before had, so that another may use this process."""
        self.unprepared = False
        self._release(_HELD_AS)

    def _release(self, artifacts: Iterable[Artifact]) -> None:
        """Drop the last references to artifacts, which frees their memory: the engine's slabs, the
        adapter's tensors, the mapping of the backbone."""
        for artifact in artifacts:
            for held in _HELD_AS[artifact]:
                setattr(self, held, None)
        gc.collect()
        self._place.give_back()


_HELD_AS = {
    Artifact.KERNELS: ("engine", "cross"),
    Artifact.ADAPTER: ("adapter",),
    Artifact.BACKBONE: ("weights",),
}
