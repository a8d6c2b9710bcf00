"""``python -m systems.serverful.naive LAUNCH``: serves one function until SIGTERM. It listens once
its model is loaded."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from ..ending import exit_status
from .launch import Launch


def load(launch: Launch) -> Any:
    """Load the backbone and the adapter with the libraries' own loaders."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(launch.threads)
    function, device = launch.function, launch.deployment.devices[0].kind
    model = AutoModelForCausalLM.from_pretrained(
        launch.deployment.backbones[function.backbone], dtype=launch.dtype, device_map=device
    )
    if function.adapter is not None:
        model = PeftModel.from_pretrained(model, function.adapter)
    model.generation_config.eos_token_id = None  # requests name theirs
    return model.eval()


async def serve(launch: Launch) -> None:
    from systems.runtime.http.api import Api
    from systems.runtime.http.listening import listening
    from systems.runtime.http.text import Text

    from .backend import Sequential
    from .generation import generate

    backbone = launch.function.backbone
    texts = {backbone: Text(launch.deployment.backbones[backbone])}
    backend = Sequential(launch, load(launch), generate)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with listening(Api(backend, texts).application(), launch.deployment.host, launch.port):
        await ended.wait()
        # A request that still runs is of no use to anybody, and its thread would be waited for.
        os._exit(0)


def main() -> int:
    return exit_status(lambda: asyncio.run(serve(Launch.model_validate_json(sys.argv[1]))))


if __name__ == "__main__":
    sys.exit(main())
