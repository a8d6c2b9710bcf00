"""Types of optional request fields, for use in ``Annotated``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True)
class NullIs:
    """``null`` means ``default``, as in OpenAI's API. Must be last in ``Annotated``."""

    default: Any

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            lambda value: self.default if value is None else value,
            core_schema.nullable_schema(handler(source)),
        )


class Neutral:
    """An unsupported field that accepts only ``null`` and ``values``, which have no effect."""

    def __init__(self, *values: Any) -> None:
        self._values = values

    def _check(self, value: Any) -> Any:
        if value is None or any(_same_json(value, each) for each in self._values):
            return None
        raise PydanticCustomError("unsupported", "this is not supported; leave it out")

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"enum": [None, *self._values]}


def _same_json(one: Any, other: Any) -> bool:
    """Compare as JSON: 0 equals 0.0, but not false."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
