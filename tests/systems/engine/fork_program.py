"""A program that imports the libraries of an instance, writes and seals a backbone in a memfd,
forks children that map it read-only, and prints their tokens as JSON."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import sys
from pathlib import Path

from systems.engine import libraries
from systems.engine.checkpoint import BackboneLayout, fill, plan_layout
from systems.engine.engine import Engine, GenerationRequest

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | 0x0010  # FUTURE_WRITE


def sealed(layout: BackboneLayout, model: Path) -> int:
    fd = os.memfd_create("backbone", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, layout.nbytes)
    with mmap.mmap(fd, layout.nbytes) as mapping, memoryview(mapping) as buffer:
        fill(layout, model, buffer)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    return fd


def child(fd: int, layout: BackboneLayout, adapter: Path, prompt: tuple[int, ...]) -> list[int]:
    libraries.torch.set_num_threads(2)
    mapping = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    engine = Engine(
        layout.config,
        libraries.weights.BackboneWeights.from_buffer(layout, mapping),
        libraries.adapter.load_adapter(adapter, layout.config, layout.dtype),
        max_batch_size=1,
        max_context_tokens=256,
    )
    events = engine.prefill([GenerationRequest(0, prompt, 8, ignore_eos=True)])
    while engine.running:
        events += engine.decode()
    return [event.token_id for event in events]


def main(model: str, prompt: str, *adapters: str) -> None:
    threads = len(os.listdir("/proc/self/task"))
    layout = plan_layout(Path(model), "float32")
    fd = sealed(layout, Path(model))
    results = []
    for adapter in adapters:
        read, write = os.pipe()
        if os.fork() == 0:
            tokens = child(fd, layout, Path(adapter), tuple(json.loads(prompt)))
            os.write(write, json.dumps(tokens).encode())
            os._exit(0)
        os.close(write)
        results.append(read)
    answers = [json.loads(os.read(read, 1 << 16) or b"null") for read in results]
    print(json.dumps({"threads": threads, "answers": answers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
