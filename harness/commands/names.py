"""Names that a shell completes."""

from __future__ import annotations


def experiment_names() -> list[str]:
    from ..experiment_files import shipped

    return list(shipped())


def system_names() -> list[str]:
    from systems.registry import system_names as names

    return list(names())


def workload_names() -> list[str]:
    from workloads import catalogue

    return catalogue.names()


def backbone_names() -> list[str]:
    from systems.models import preset_names

    return list(preset_names())
