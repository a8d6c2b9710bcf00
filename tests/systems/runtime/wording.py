"""Strategies for messages of a process: valid ones of given types, and invalid ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from harness.replay.plan import Plan
from systems.interface import Deployment, Device, Function
from systems.runtime.incoming import Incoming
from systems.runtime.messages import Message

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 2**63, 10**30, 0.5, "", "x\n\x1b[2J", [], {}, [[[]]]]),
    st.text(max_size=8),
)

SAMPLES: dict[type, Any] = {
    Deployment: Deployment(
        functions=(Function(id="f0", backbone="tiny"),),
        backbones={"tiny": Path("tiny")},
        devices=(Device(name="cpu:0", memory_bytes=1 << 30),),
    ),
    Plan: Plan(
        schedule=Path("schedule.parquet"),
        base_url="http://127.0.0.1:1",
        out_dir=Path("."),
        workers=2,
        timeout_s=1,
        lead_s=1,
    ),
}
"""Of the types that check themselves."""


def values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Values of a type within its bounds, mostly small ones, which collide with real ids."""
    match kind:
        case inspect.IntType(ge=least, le=most):
            low, high = least or 0, 2**63 - 1 if most is None else most
            return st.integers(low, min(high, low + 3)) | st.integers(low, high)
        case inspect.FloatType(ge=least, le=most):
            return st.floats(least or 0.0, 1.0 if most is None else most, exclude_min=True)
        case inspect.StrType(pattern=None, max_length=most):
            return st.text(max_size=min(most or 8, 8))
        case inspect.StrType(pattern=pattern):
            return st.from_regex(pattern, fullmatch=True).filter(lambda text: len(text) < 64)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.LiteralType(values=them):
            return st.sampled_from(them)
        case inspect.EnumType(cls=them):
            return st.sampled_from(list(them))
        case inspect.UnionType(types=them):
            return st.one_of(*map(values, them))
        case inspect.BytesType():
            return st.binary(max_size=8)
        case inspect.VarTupleType(item_type=item):
            return st.lists(values(item), max_size=3).map(tuple)
        case inspect.ListType(item_type=item):
            return st.lists(values(item), max_size=3)
        case inspect.NamedTupleType(cls=made, fields=them):
            return st.builds(made, *(values(each.type) for each in them))
        case inspect.CustomType(cls=made):
            return st.just(SAMPLES[made])
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(values(key), values(value), max_size=3)
        case inspect.StructType(cls=made, fields=them):
            return st.builds(made, **{each.name: values(each.type) for each in them})
        case inspect.AnyType():
            return JUNK
    raise NotImplementedError(f"no strategy for {kind}")


def messages(incoming: Incoming) -> st.SearchStrategy[Message]:
    """Valid messages of every type that may be received."""
    return values(inspect.type_info(incoming.messages))


NOT_UTF_8 = (b'{"kind":"\xf3"}', b'{"kind":"failed","reason":"\xf3"}', b'{"\xf3":1}')


def malformed(incoming: Incoming) -> st.SearchStrategy[bytes]:
    """Bytes that are no JSON, no object, too deeply nested or too long, or a message with a
    missing, unknown or wrong field."""
    broken = st.sampled_from([b"", b"\xff{", b"[1]", b"{}", b"[" * 50_000, *NOT_UTF_8]).filter(bool)
    long = st.just(json.dumps({"kind": "failed", "reason": "x" * incoming.most_bytes}).encode())
    return st.one_of(st.binary(min_size=1, max_size=64), broken, long, _changed(incoming))


@st.composite
def _changed(draw: st.DrawFn, incoming: Incoming) -> bytes:
    content = msgspec.to_builtins(draw(messages(incoming)))
    name = draw(st.sampled_from([*content, "other", "o\n\x1b[2Jther", "x" * 300]))
    if draw(st.booleans()):
        content[name] = draw(JUNK)
    else:
        content.pop(name, None)
        content = content or {"kind": "none"}
    return json.dumps(content).encode()


def foreign(*others: Incoming) -> st.SearchStrategy[bytes]:
    """Valid messages of other channels."""
    return st.one_of(*map(messages, others)).map(msgspec.json.encode)
