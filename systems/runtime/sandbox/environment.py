"""The environment variables that processes of the platform get."""

from __future__ import annotations

from collections.abc import Mapping

ENVIRONMENT = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "VIRTUAL_ENV",
        "XDG_CACHE_HOME",
        "SLBENCH_CACHE",
        "SLBENCH_CARD_CONFINEMENT",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "CC",
        "CXX",
        "CPATH",
        "LIBRARY_PATH",
        "TOKENIZERS_PARALLELISM",
        "ARROW_DEFAULT_MEMORY_POOL",
        "JE_ARROW_MALLOC_CONF",
    }
)
"""Variables passed to processes of the platform; any other variable may contain a credential."""

_PREFIXES = (
    "LC_", "LD_", "PYTHON", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "MALLOC_", "TORCH",
    "PYTORCH_", "TRITON_", "CUDA_", "NVIDIA_", "CUBLAS_",
)  # fmt: skip
_SECRET = ("TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "_KEY")


def needed(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the ``variables`` that an instance needs."""
    return {name: value for name, value in variables.items() if _is_needed(name)}


def _is_needed(name: str) -> bool:
    if name in ENVIRONMENT:
        return True
    return name.startswith(_PREFIXES) and not any(word in name for word in _SECRET)
