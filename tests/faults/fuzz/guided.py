"""Coverage-guided fuzzing of one protocol:
``python -m tests.faults.fuzz.guided "response to a request" -max_total_time=60``.

Needs atheris (pip install atheris), which is no dependency of the project. Further arguments are
libFuzzer's. Ends with the input that is neither taken nor refused, if it finds one."""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports(include=["harness.replay", "harness.watch", "systems.runtime"]):
    from .protocols import PROTOCOLS, RefusedError


def main() -> None:
    read = PROTOCOLS[sys.argv[1]].read

    def attempt(data: bytes) -> None:
        with contextlib.suppress(RefusedError):
            read(data)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
