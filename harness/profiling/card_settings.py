"""What a card's profile takes from the platform's options, because no probe measures it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .found import Found

if TYPE_CHECKING:
    from .profile_file import Plain


def numbers(cores: int) -> dict[str, Found]:
    """Return the fields of a profile that are sizes of processes, and of how a node is built.
    ``cores``: of the machine."""
    from systems.serverless.options import Options

    options = Options()
    here = "of the machine it was measured on"
    return {
        "cores": Found(cores, f"cores {here}"),
        "devices_per_node": Found(1, f"devices {here} that the probes used"),
        "device_slots": Found(1, "processes of a GPU take turns, see [batches_beside]"),
        "context_bytes": process_bytes(),
        "forked_context_bytes": _held("cuda_context_bytes", options.cuda_context_bytes),
        "bare_bytes": _held("cuda_bare_bytes", options.cuda_bare_bytes),
        "template_bytes": Found(0, "the template starts no CUDA context before its forks do"),
        "template_host_bytes": _held("template_bytes", options.template_bytes),
        "host_bytes": _held("context_bytes", options.context_bytes),
        "dormant_bytes": _held("forked_context_bytes", options.forked_context_bytes),
    }


def process_bytes() -> Found:
    """Return the device memory of a process beside weights, adapters, keys and values."""
    from systems.serverless.options import Options

    return _held("cuda_context_bytes", Options().cuda_context_bytes)


def _held(name: str, value: int) -> Found:
    told = f"the platform's default option {name}, itself measured (see its docstring)"
    return Found(value, told, "derived")


def plain() -> dict[str, Plain]:
    """Return the fields that are no numbers."""
    from systems.serverless.options import Options

    pieces = Options().piece_tokens("cuda")
    assert pieces is not None, "an option that is auto is a number on a GPU"
    return {"alike": {"bfloat16": "float16"}, "kv_slots": True, "prompt_piece_tokens": pieces}
