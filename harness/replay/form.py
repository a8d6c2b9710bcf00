"""The form of requests: what a server accepts as a prompt, and whether it can be told how many
tokens to answer with."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class RequestForm(BaseModel):
    """``prompts``: token ids, or real text for ``/v1/completions`` or ``/v1/chat/completions``.
    ``ignore_eos``: ask for exactly the wanted number of tokens, which OpenAI's API cannot; without
    it, an answer ends where the model ends it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: Literal["ids", "text", "chat"] = "ids"
    ignore_eos: bool = True

    @property
    def path(self) -> str:
        """The path that requests are sent to."""
        return "/v1/chat/completions" if self.prompts == "chat" else "/v1/completions"

    def content(self, prompt_ids: list[int], text: str | None) -> dict[str, Any]:
        """Return the fields of a body that hold the prompt and the end of the answer."""
        prompts: dict[str, dict[str, Any]] = {
            "ids": {"prompt": prompt_ids},
            "text": {"prompt": text},
            "chat": {"messages": [{"role": "user", "content": text}]},
        }
        return {**prompts[self.prompts], **({"ignore_eos": True} if self.ignore_eos else {})}
