"""Where records are stored, relative to the current folder, which may be a checkout's root."""

from importlib.resources import files
from pathlib import Path

RUNS = Path("results/runs")
REFERENCE = Path("results/reference")
_INSTALLED = ("reference", "runs")
"""In the package: a link to ``REFERENCE`` in a checkout, the records themselves in a wheel."""


def reference_runs() -> Path:
    """Return the folder of the reference runs to read: the current folder's, or else those that
    are installed with the package."""
    if REFERENCE.is_dir():
        return REFERENCE
    return Path(str(files("harness").joinpath(*_INSTALLED)))


def is_reference(path: Path) -> bool:
    """Whether ``path`` is within the reference runs, of the current folder or of the package."""
    return any(
        path.resolve().is_relative_to(each.resolve()) for each in (REFERENCE, reference_runs())
    )


def located(name: str | Path, root: Path = RUNS) -> Path:
    """Return the folder of records that ``name`` means: a folder, an id under ``root``, or a
    reference run by its id or its path in a checkout. If there is none, the place under ``root``
    where it would be."""
    path = Path(name)
    within = path.relative_to(REFERENCE) if path.is_relative_to(REFERENCE) else path
    places = (path, root / path, reference_runs() / within)
    return next((place for place in places if place.is_dir()), root / path)
