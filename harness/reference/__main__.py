"""Regenerates the reference records: ``python -m harness.reference [STUDY…]``.

After an interruption, the same command resumes. The studies are those of studies.toml;
``weak-scaling --values 10000 --out DIR`` runs one at another size.
"""

import argparse
from pathlib import Path

from harness.execution.progress import Progress

from ..errors import HarnessError
from ..places import REFERENCE
from .making import make
from .studies import studies


def main() -> None:
    known = studies()
    parser = argparse.ArgumentParser(prog="python -m harness.reference", description=__doc__)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"of {', '.join(known)}")
    parser.add_argument("--workers", type=int, help="processes; default: one a core")
    parser.add_argument("--values", type=float, nargs="+", help="other values of a sweep")
    parser.add_argument("--out", type=Path, default=REFERENCE, help="folder for the records")
    given = parser.parse_args()
    for name in given.studies or known:
        if name not in known:
            parser.error(f"study {name!r} is unknown; known: {', '.join(known)}")
        try:
            study = known[name].over_values(given.values) if given.values else known[name]
            print(make(study, given.out, Progress(), given.workers))
        except HarnessError as error:
            parser.exit(2, f"{name}: {error}\n")


if __name__ == "__main__":
    main()
