"""Run Vidur's event loop with a constant predictor; print seconds and requests as JSON.

    python vidur_loop.py REPLICAS REQUESTS RATE_RPS PROMPT_TOKENS OUTPUT_TOKENS

Run by ``simulated_cell.py`` with an interpreter that has Vidur. Every iteration takes ``STEP_MS``,
no model is trained, and Vidur stores no metrics, so the time is that of its event loop alone.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from typing import Any

STEP_MS = 20.0
"""About an iteration of Llama2-7B on the L40S of our side."""


def replace_predictor() -> None:
    """Register a predictor of equal iterations in place of the default one."""
    from vidur.entities import ExecutionTime
    from vidur.execution_time_predictor import ExecutionTimePredictorRegistry
    from vidur.types import ExecutionTimePredictorType

    # In the order of ExecutionTime: one layer, one operation that takes all the time, in ms.
    constant = ExecutionTime(1, STEP_MS, *[0.0] * 18)

    class Constant:
        def __init__(self, *_: Any, **__: Any) -> None:
            """Take what every predictor gets."""

        def get_execution_time(self, *_: Any) -> Any:
            return constant

    kind = ExecutionTimePredictorType.RANDOM_FORREST
    ExecutionTimePredictorRegistry.unregister(kind)
    ExecutionTimePredictorRegistry.register(kind, Constant)


def simulator(
    folder: str, replicas: int, requests: int, rate: float, prompt: int, output: int
) -> Any:
    from vidur.config.config import (
        ClusterConfig,
        FixedRequestLengthGeneratorConfig,
        MetricsConfig,
        PoissonRequestIntervalGeneratorConfig,
        SimulationConfig,
        SyntheticRequestGeneratorConfig,
    )
    from vidur.simulator import Simulator

    metrics = MetricsConfig(
        write_metrics=False, enable_chrome_trace=False, store_plots=False,
        store_request_metrics=False, store_batch_metrics=False, store_utilization_metrics=False,
        output_dir=folder, cache_dir=folder,
    )  # fmt: skip
    load = SyntheticRequestGeneratorConfig(
        length_generator_config=FixedRequestLengthGeneratorConfig(
            max_tokens=prompt + output, prefill_tokens=prompt, decode_tokens=output
        ),
        interval_generator_config=PoissonRequestIntervalGeneratorConfig(qps=rate),
        num_requests=requests,
    )
    return Simulator(
        SimulationConfig(
            log_level="error",
            cluster_config=ClusterConfig(num_replicas=replicas),
            request_generator_config=load,
            metrics_config=metrics,
        )
    )


def main() -> None:
    replicas, requests, rate, prompt, output = sys.argv[1:]
    replace_predictor()
    with tempfile.TemporaryDirectory(prefix="vidur-") as folder:
        made = simulator(
            folder, int(replicas), int(requests), float(rate), int(prompt), int(output)
        )
        began = time.process_time()
        made.run()
        took = time.process_time() - began
        print(json.dumps({"requests": int(requests), "seconds": took}))
        sys.stdout.flush()
    # What Vidur would write at its end is not part of the comparison.
    import os

    os._exit(0)


if __name__ == "__main__":
    main()
