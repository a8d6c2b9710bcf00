"""The simulation of the engine's shapes knows as many as the engine."""

from __future__ import annotations

import pytest

from systems.engine.checkpoint import BackboneLayout
from systems.engine.cuda.engine import CudaEngine
from systems.engine.weights import BackboneWeights
from systems.simulation.profile import load_profile
from systems.simulation.shapes import Shapes


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize(("batch", "context"), [(4, 300), (8, 512), (32, 512), (1, 64)])
def test_the_calls_of_preparation_are_those_of_the_engine(
    backbone: tuple[BackboneLayout, BackboneWeights], batch: int, context: int, mixed: bool
) -> None:
    layout, weights = backbone
    engine = CudaEngine(
        layout.config, weights, None, max_batch_size=batch, max_context_tokens=context, mixed=mixed
    )
    numbers = load_profile("h100").graphs
    assert numbers is not None
    simulated = Shapes(numbers, batch, context, mixed=mixed)
    assert simulated.unprepared == engine.unprepared - 1, "the first is made"
