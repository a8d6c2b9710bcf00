"""How long what is idle stays."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..cluster_spec import FunctionSpec, Settings
from ..policy import Policy


class KeepAlive(Policy, ABC):
    @abstractmethod
    def instance_ns(self, function: FunctionSpec, settings: Settings) -> int:
        """How long an idle instance of ``function`` stays ready before its artifacts are weighed,
        and between two weighings of one that sleeps."""

    @abstractmethod
    def copy_ns(self, settings: Settings) -> int:
        """How long a shared backbone outlives its last instance."""


class FixedKeepAlive(KeepAlive):
    """The deployment's own times, the same for all."""

    name = "fixed"

    def instance_ns(self, function: FunctionSpec, settings: Settings) -> int:  # noqa: ARG002
        return settings.keep_alive_ns

    def copy_ns(self, settings: Settings) -> int:
        return settings.shared_keep_alive_ns
