"""Makes the reference records anew: ``python -m harness.reference [STUDY…]``."""

import sys

from ..places import REFERENCE
from ..progress import Progress
from .making import make
from .studies import studies

known = studies()
for name in sys.argv[1:] or known:
    if name not in known:
        sys.exit(f"study {name!r} is unknown; known: {', '.join(known)}")
    print(make(known[name], REFERENCE, Progress()))
