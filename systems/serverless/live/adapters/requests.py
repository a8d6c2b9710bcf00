"""What a parser is asked for a function of a deployment."""

from __future__ import annotations

from systems.engine.dtypes import compute_dtype
from systems.engine.packed_size import packed_bytes

from ..messages import SlotShape
from ..plan import Plan
from .messages import ParseAdapter


def parse_request(plan: Plan, function_id: str, shape: SlotShape) -> ParseAdapter:
    """Return the request to parse the adapter of a function for places of ``shape``, in the dtype
    in which the engine of the plan's devices computes."""
    layout = plan.layouts[plan.functions[function_id].backbone]
    files = plan.adapters[function_id]
    dtype = compute_dtype(layout.dtype, plan.device)
    nbytes = packed_bytes(layout.config, shape.rank, shape.targets, dtype)
    return ParseAdapter(
        folder=str(files.path),
        stamps=files.stamps,
        config=layout.config.model_dump_json(),
        shape=shape,
        dtype=dtype,
        nbytes=nbytes,
        # The packed adapter twice; as float32: the mapped file, what peft loads, and A and B.
        memory_bytes=2 * nbytes + 4 * files.nbytes("float32"),
    )
