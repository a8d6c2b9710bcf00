"""The page cache of a node: a checkpoint comes from the disk once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .clock import Callback, Shared
from .latency_model import LatencyModel


class PageCache:
    """Reads checkpoints. The first reader of a backbone on the node reads ``disk``, which all of
    its devices share; those that come meanwhile wait for it, and they and all later ones read host
    memory, which is assumed to hold the checkpoints of all backbones. ``disk`` None: it holds them
    from the start."""

    def __init__(self, disk: Shared | None) -> None:
        self._disk = disk
        self._cached: set[str] = set()
        self._waiting: dict[str, list[Callable[[], object]]] = {}

    def cached(self, backbone: str) -> None:
        """Record that the backbone was read before."""
        self._cached.add(backbone)

    def read(
        self,
        backbone: str,
        latency: LatencyModel,
        link: Shared,
        done: Callback,
        *,
        private: bool = False,
    ) -> None:
        """Read the weights of ``backbone``; call ``done`` when they are on the device. ``link``:
        what its loads from host memory share. ``private``: into a copy of one instance."""
        took_ns = partial(latency.backbone_ns, private=private)
        from_memory = partial(link.start, took_ns(cached=True), done)
        if self._disk is None or backbone in self._cached:
            from_memory()
        elif backbone in self._waiting:
            self._waiting[backbone].append(from_memory)
        else:
            self._waiting[backbone] = []
            self._disk.start(took_ns(cached=False), partial(self._read, backbone, done))

    def _read(self, backbone: str, done: Callback) -> None:
        self._cached.add(backbone)
        done()
        for read_from_memory in self._waiting.pop(backbone):
            read_from_memory()
