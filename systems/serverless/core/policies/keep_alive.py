"""How long idle instances and unused copies are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..cluster_spec import GroupSpec, Settings
from ..policy import Policy


class KeepAlive(Policy, ABC):
    @abstractmethod
    def instance_ns(self, group: GroupSpec, settings: Settings) -> int:
        """Return how long an idle instance of ``function`` stays ready before its artifacts are
        weighed, and the time between two weighings of a sleeping one."""

    @abstractmethod
    def copy_ns(self, settings: Settings) -> int:
        """Return how long a shared backbone is kept after its last instance."""


class FixedKeepAlive(KeepAlive):
    """The times in the deployment's settings, the same for all functions."""

    name = "fixed"

    def instance_ns(self, group: GroupSpec, settings: Settings) -> int:  # noqa: ARG002
        return settings.keep_alive_ns

    def copy_ns(self, settings: Settings) -> int:
        return settings.shared_keep_alive_ns
