"""The options that a deployment gives to its system."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from systems.errors import DeploymentError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from systems.interface import Deployment


class SystemOptions(BaseModel):
    """Options of one system. Unknown ones are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def read(cls, deployment: Deployment, system: str) -> Self:
        """Return the options of a deployment of ``system``. Raise ``DeploymentError``, in one line,
        if one is unknown or has a wrong value."""
        try:
            return cls.model_validate(dict(deployment.options))
        except ValidationError as error:
            first, *others = error.errors()
            more = f" (and {len(others)} more)" if others else ""
            raise DeploymentError(f"{system}: {cls._mistake(first)}{more}") from error

    @property
    def changed(self) -> frozenset[str]:
        """The names of the options that are not as by default."""
        fields = type(self).model_fields
        return frozenset(n for n in self.model_fields_set if getattr(self, n) != fields[n].default)

    @classmethod
    def _mistake(cls, each: ErrorDetails) -> str:
        place = ".".join(map(str, each["loc"]))
        if each["type"] == "extra_forbidden" and len(each["loc"]) == 1:
            near = difflib.get_close_matches(place, cls.model_fields, n=1)
            instead = (
                f"did you mean {near[0]}?" if near else f"known: {', '.join(cls.model_fields)}"
            )
            return f"{place} is not an option; {instead}"
        words = each["msg"].removeprefix("Value error, ")
        return f"option {place}: {words[:1].lower()}{words[1:]}" if place else words
