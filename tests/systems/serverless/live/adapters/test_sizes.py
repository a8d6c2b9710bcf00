"""What is reserved for adapters of different ranks, layers and targets is what engines hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from systems.engine.adapter import load_adapter
from systems.engine.cuda.slot import AdapterSlot
from systems.engine.dtypes import compute_dtype, torch_dtype
from systems.engine.packed import SlotShape
from systems.errors import DeploymentError
from systems.interface import Deployment
from systems.models import ensure_form
from systems.serverless.live.adapters.requests import parse_request
from systems.serverless.live.plan import make_plan

RANKS = {"f0": ("ranks-by-pattern", 32), "f1": ("some-layers", 4), "f2": ("half", 8)}


@pytest.fixture
def mixed(deployment: Deployment) -> Deployment:
    tiny: Path = deployment.backbones["tiny"]
    made = {name: ensure_form(tiny, [name], *form)[name] for name, form in RANKS.items()}
    functions = tuple(
        each.model_copy(update={"adapter": made[each.id]})
        for each in deployment.functions
        if each.id in made
    )
    return deployment.model_copy(update={"functions": functions})


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_an_instance_of_one_function_reserves_what_its_engine_holds(
    kind: str, mixed: Deployment
) -> None:
    """On a GPU: a slot of the largest rank, on all of its targets in all layers."""
    device = mixed.devices[0].model_copy(update={"name": f"{kind}:0", "memory_bytes": 1 << 40})
    changes = {"devices": (device,), "dtype": "float16"}
    plan = make_plan(mixed.model_copy(update=changes), forks=True)
    config = plan.layouts["tiny"].config
    for name, (_, rank) in RANKS.items():
        files = plan.adapters[name]
        dtype = torch_dtype(compute_dtype("float16", kind))
        slot = AdapterSlot(SlotShape.of(config, rank, files.targets, dtype), "cpu")
        loaded = load_adapter(files.path, config, "float16").nbytes
        wanted = slot.nbytes if kind == "cuda" else loaded
        assert plan.cluster.groups[name].adapter_bytes == wanted


def test_places_have_the_largest_rank_and_all_targets(mixed: Deployment) -> None:
    plan = make_plan(mixed.model_copy(update={"isolation": "backbone"}), forks=True)
    (group,) = (each for each in plan.cluster.groups.values() if each.places)
    shape = plan.places_shapes[group.id]
    assert shape.rank == 32
    assert set(shape.targets) == {
        target for name in RANKS for target in plan.adapters[name].targets
    }
    dtype = torch_dtype("float32")
    held = SlotShape.of(plan.layouts["tiny"].config, shape.rank, shape.targets, dtype).nbytes
    assert {parse_request(plan, name, shape).nbytes for name in RANKS} == {held}
    assert group.places_bytes == held * group.places


def test_an_adapter_of_a_larger_rank_than_the_deployment_has_is_refused(
    mixed: Deployment,
) -> None:
    make_plan(mixed.model_copy(update={"options": {"max_adapter_rank": 32}}), forks=True)
    limited = mixed.model_copy(update={"options": {"max_adapter_rank": 16}})
    with pytest.raises(DeploymentError, match=r"^f0: its adapter needs max_adapter_rank 32; it is"):
        make_plan(limited, forks=True)
