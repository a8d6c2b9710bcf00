"""What a server is started with, as JSON on its command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt

from systems.interface import Deployment, Function


class Launch(BaseModel):
    """``deployment``: of one function."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deployment: Deployment
    port: PositiveInt
    dtype: Literal["float32", "bfloat16", "float16"]
    threads: PositiveInt

    @property
    def function(self) -> Function:
        return self.deployment.functions[0]

    @property
    def functions(self) -> Mapping[str, Function]:
        return {self.function.id: self.function}
