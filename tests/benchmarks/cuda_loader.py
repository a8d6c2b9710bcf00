"""Host tier to device, GB/s by chunk and streams: ``-m tests.benchmarks.cuda_loader``."""

from __future__ import annotations

import time

import torch

from systems.serverless.live import store
from systems.serverless.live.device_loader import load, registered

NBYTES = 8 << 30


def main() -> None:
    fd = store.create("host-tier", NBYTES)
    with store.map_writable(fd) as mapping:
        target = torch.empty(NBYTES, dtype=torch.uint8, device="cuda")
        start = time.perf_counter()
        with registered(mapping) as source:
            print(f"registered {NBYTES / 1e9:.1f} GB in {time.perf_counter() - start:.2f} s")
            for streams in (1, 2, 4):
                for chunk in (16 << 20, 32 << 20, 64 << 20):
                    start = time.perf_counter()
                    load(source, target, chunk, streams)
                    rate = NBYTES / (time.perf_counter() - start) / 1e9
                    print(f"{streams} streams, {chunk >> 20:3d} MiB: {rate:6.1f} GB/s")
        del source


if __name__ == "__main__":
    main()
