"""The shape of a decoder, read from a Hugging Face ``config.json``."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    ValidationError,
    model_validator,
)

from systems.errors import CheckpointError

from .architectures.architecture import Architecture
from .architectures.registry import ARCHITECTURES
from .bounded_files import read_json
from .dtypes import ITEMSIZE, compute_dtype

Count = Annotated[int, Field(gt=0, lt=1 << 31)]


class Rope(BaseModel):
    """Rotary embedding: base ``theta`` and the scaling of its frequencies."""

    # Accept field names as well as aliases, so that theta survives a round trip through JSON.
    model_config = ConfigDict(frozen=True, populate_by_name=True, allow_inf_nan=False)

    theta: PositiveFloat = Field(default=10000.0, alias="rope_theta")
    kind: Literal["default", "linear", "llama3"] = Field(default="default", alias="rope_type")
    factor: PositiveFloat = 1.0
    low_freq_factor: PositiveFloat = 1.0
    high_freq_factor: PositiveFloat = 4.0
    original_max_position_embeddings: Count = 8192


class Window(BaseModel):
    """Sliding window: layers from ``first_layer`` on attend to the last ``tokens`` positions only,
    a token's own included."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    tokens: Count = Field(alias="sliding_window")
    first_layer: Annotated[int, Field(ge=0)] = Field(default=0, alias="max_window_layers")


def _known(model_type: str) -> str:
    if model_type not in ARCHITECTURES:
        raise ValueError("unknown")
    return model_type


class ModelConfig(BaseModel):
    """The parameters of a decoder that the engine needs. Unknown keys are ignored, since
    ``config.json`` has many that do not affect the forward pass."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, allow_inf_nan=False)

    model_type: Annotated[str, AfterValidator(_known)]
    vocab_size: Count
    hidden_size: Count
    intermediate_size: Count
    num_layers: Count = Field(alias="num_hidden_layers")
    num_heads: Count = Field(alias="num_attention_heads")
    num_kv_heads: Count = Field(alias="num_key_value_heads")
    head_dim: Count
    rms_norm_eps: PositiveFloat = 1e-6
    max_positions: Count = Field(default=2048, alias="max_position_embeddings")
    tie_word_embeddings: bool = False
    hidden_act: Literal["silu"] = "silu"
    attention_bias: Literal[False] = False
    mlp_bias: Literal[False] = False
    quantization_config: None = None
    rope: Rope = Rope()
    window: Window | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, data: Any) -> Any:
        """Fill in Hugging Face's defaults, and accept both of its notations for rope."""
        if not isinstance(data, dict) or "rope" in data:
            return data
        architecture = _architecture(data)
        data = {**architecture.defaults, **data}
        heads, hidden = data.get("num_attention_heads"), data.get("hidden_size")
        data = {"num_key_value_heads": heads, **_present(data), "window": architecture.window(data)}
        if isinstance(heads, int) and isinstance(hidden, int) and heads > 0:
            data.setdefault("head_dim", hidden // heads)
        scaling = data.get("rope_parameters") or data.get("rope_scaling") or {}
        if not isinstance(scaling, Mapping):
            raise ValueError(f"rope_parameters must be an object, got {reprlib.repr(scaling)}")
        kind = scaling.get("rope_type") or scaling.get("type") or "default"
        theta = {"rope_theta": data["rope_theta"]} if "rope_theta" in data else {}
        return {**data, "rope": {**theta, **scaling, "rope_type": kind}}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_attention_heads {self.num_heads} is no multiple of"
                f" num_key_value_heads {self.num_kv_heads}"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} must be even for rotary embeddings")
        return self

    @property
    def architecture(self) -> Architecture:
        return ARCHITECTURES[self.model_type]

    def window_of(self, layer: int) -> int | None:
        """Return how many positions a layer attends to at most; None: all."""
        if self.window is None or layer < self.window.first_layer:
            return None
        return self.window.tokens

    @property
    def windows(self) -> frozenset[int | None]:
        """What :meth:`window_of` returns for one layer or another."""
        return frozenset(self.window_of(layer) for layer in (0, self.num_layers - 1))

    @property
    def q_size(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        return self.num_kv_heads * self.head_dim

    def kv_bytes_per_token(self, dtype: str, device: str = "cpu") -> int:
        """Return the KV cache bytes per token for weights stored as ``dtype``."""
        return 2 * self.num_layers * self.kv_size * ITEMSIZE[compute_dtype(dtype, device)]


def read_config(model_dir: Path) -> ModelConfig:
    """Read ``config.json``. Raise ``CheckpointError`` if the engine cannot run the model."""
    path = model_dir / "config.json"
    try:
        content = read_json(path, CheckpointError)
    except FileNotFoundError:
        raise CheckpointError(
            f"{model_dir}: no config.json; a Hugging Face directory or a preset is needed"
        ) from None
    try:
        return ModelConfig.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(f"{path}: {_first_mistake(error, content)}") from error


def _architecture(data: Mapping[str, Any]) -> Architecture:
    """Return the architecture; one that is unknown is refused when its field is validated."""
    model_type = data.get("model_type")
    known = ARCHITECTURES.get(model_type) if isinstance(model_type, str) else None
    return known or Architecture("", "")


def _present(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def _first_mistake(error: ValidationError, content: Any) -> str:
    mistake = error.errors()[0]
    key = ".".join(str(part) for part in mistake["loc"])
    if key == "model_type" and isinstance(content, dict):
        found = reprlib.repr(content.get("model_type"))
        return f"model_type is {found}; the engine runs {', '.join(ARCHITECTURES)}"
    return f"{key}: {mistake['msg']}" if key else str(mistake["msg"])
