"""``python -m systems.serverless.live.compiler PARENT``: compile kernels into Triton's cache.

Reads a list of JSON objects from standard input, each with the arguments of
:func:`~systems.engine.cuda.rehearsal.rehearse`. Prints an empty line for each shape that it has
run. Reads no tenant data. Ends when PARENT (a pid) ends.
"""

from __future__ import annotations

import json
import sys

from systems.engine.config import ModelConfig
from systems.runtime import process


def main() -> int:
    process.settle(int(sys.argv[1]))
    from systems.engine.cuda import context
    from systems.engine.cuda.rehearsal import rehearse

    context.start()
    for each in json.load(sys.stdin):
        slots = [slot and (slot[0], tuple(slot[1])) for slot in each.pop("slots")]
        config = ModelConfig.model_validate_json(each.pop("config"))
        rehearse(config, each.pop("dtype"), slots, "cuda", on_shape=_tell, **each)
    return 0


def _tell() -> None:
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
