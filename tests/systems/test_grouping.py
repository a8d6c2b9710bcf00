"""Groups of functions that may share an instance, by isolation level."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from systems.grouping import LEVELS, groups
from systems.interface import Function, Isolation

NAMES = st.sampled_from(["a", "b", "c", "a-b", "tiny"])
LEVEL = st.sampled_from(list(LEVELS))


@st.composite
def deployed(draw: st.DrawFn) -> list[Function]:
    """Draw functions whose tenants may be named like functions or backbones, and the backbones
    under their own names."""
    backbones = ["b0", "b1"]
    functions = [
        Function(id=id_, backbone=draw(st.sampled_from(backbones)), tenant=draw(st.none() | NAMES))
        for id_ in draw(st.lists(NAMES, unique=True, min_size=1))
    ]
    return [*functions, *(Function(id=name, backbone=name) for name in backbones)]


def tenant_of(function: Function) -> tuple[str, str]:
    """Identify a tenant: a named one, or the function itself."""
    return ("named", function.tenant) if function.tenant else ("function", function.id)


@given(deployed(), LEVEL)
def test_groups_are_a_partition_within_backbones(
    functions: list[Function], level: Isolation
) -> None:
    found = groups(functions, level)
    members = [function for group in found.values() for function in group]
    assert sorted(each.id for each in members) == sorted(each.id for each in functions)
    for group in found.values():
        assert len({function.backbone for function in group}) == 1


@given(deployed())
def test_at_function_level_every_function_is_alone_under_its_own_id(
    functions: list[Function],
) -> None:
    assert groups(functions, "function") == {each.id: (each,) for each in functions}


@given(deployed())
def test_at_tenant_level_a_group_is_a_tenants_functions_over_one_backbone(
    functions: list[Function],
) -> None:
    found = groups(functions, "tenant")
    for group in found.values():
        assert len({tenant_of(function) for function in group}) == 1
    assert len(found) == len({(tenant_of(each), each.backbone) for each in functions})


@given(deployed())
def test_at_backbone_level_there_is_a_group_for_each_backbone(functions: list[Function]) -> None:
    assert len(groups(functions, "backbone")) == len({each.backbone for each in functions})


@given(deployed())
def test_a_group_id_never_names_other_functions_at_another_level(
    functions: list[Function],
) -> None:
    known: dict[str, tuple[Function, ...]] = {}
    for level in LEVELS:
        for id_, members in groups(functions, level).items():
            assert known.setdefault(id_, members) == members


def test_every_level_of_the_interface_has_a_promise_of_one_line() -> None:
    assert tuple(LEVELS) == get_args(Isolation)
    for level in LEVELS.values():
        assert level.promise
        assert "\n" not in level.promise


def test_every_level_but_the_strictest_says_what_it_gives_up_in_lines_of_its_own() -> None:
    assert not LEVELS["function"].gaps
    lines = [line for level in LEVELS.values() for line in level.gaps]
    assert len(lines) == len(set(lines))
    assert all(line.isprintable() for line in lines)
    assert LEVELS["tenant"].gaps
    assert len(LEVELS["backbone"].gaps) > len(LEVELS["tenant"].gaps), "it gives up more"


@pytest.mark.parametrize("tenant", ["", "a b", "a@b", "*", "a/b"])
def test_a_tenant_is_named_as_a_function_is(tenant: str) -> None:
    with pytest.raises(ValidationError, match="tenant"):
        Function(id="f0", backbone="tiny", tenant=tenant)
