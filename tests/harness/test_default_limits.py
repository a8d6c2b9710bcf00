"""The manifest names all limits; by default there are none, so that they disturb no measurement."""

from __future__ import annotations

from systems.registry import system_class


def test_the_manifest_names_all_limits() -> None:
    told = system_class("serverless-lora")().info().options
    limits = {name for name in told if name.startswith(("function_", "caller_"))}
    assert limits == {
        *(f"function_{of}" for of in ("in_flight", "waiting", "rate", "burst")),
        *(f"caller_{of}" for of in ("in_flight", "rate", "burst")),
    }
    assert told["fair_shares"] is False
    assert {told[name] for name in limits if not name.endswith("burst")} == {None}, "unlimited"
