"""Fields of OpenAI's and vLLM's requests that would change the output and are not supported.

A value without effect is accepted, any other value is rejected. Fields listed neither here nor in
``schema`` are ignored, as in vLLM: clients of other versions send them, and most of them (``user``,
``metadata``, ``store``, …) do not change the output.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel

from .fields import Neutral

_Zero = Annotated[Any, Neutral(0)]
_One = Annotated[Any, Neutral(1)]
_False = Annotated[Any, Neutral(False)]
_True = Annotated[Any, Neutral(True)]
_EmptyList = Annotated[Any, Neutral([])]
_EmptyObject = Annotated[Any, Neutral({})]
_Null = Annotated[Any, Neutral()]


class UnsupportedOfBoth(BaseModel):
    n: _One = None
    logprobs: _False = None
    echo: _False = None
    presence_penalty: _Zero = None
    frequency_penalty: _Zero = None
    logit_bias: _EmptyObject = None
    response_format: Annotated[Any, Neutral({"type": "text"})] = None
    # vLLM's
    top_k: Annotated[Any, Neutral(0, -1)] = None
    min_p: _Zero = None
    min_tokens: _Zero = None
    repetition_penalty: _One = None
    length_penalty: _One = None
    use_beam_search: _False = None
    stop_token_ids: _EmptyList = None
    bad_words: _EmptyList = None
    allowed_token_ids: _Null = None
    include_stop_str_in_output: _False = None
    prompt_logprobs: _Null = None
    truncate_prompt_tokens: _Null = None
    structured_outputs: _Null = None
    guided_json: _Null = None
    guided_regex: _Null = None
    guided_choice: _Null = None
    guided_grammar: _Null = None


class UnsupportedOfCompletions(UnsupportedOfBoth):
    best_of: _One = None
    suffix: Annotated[Any, Neutral("")] = None
    prompt_embeds: _Null = None
    add_special_tokens: _True = None


class UnsupportedOfChat(UnsupportedOfBoth):
    top_logprobs: _Zero = None
    tools: _EmptyList = None
    tool_choice: Annotated[Any, Neutral("none", "auto")] = None
    functions: _EmptyList = None
    function_call: Annotated[Any, Neutral("none", "auto")] = None
    modalities: Annotated[Any, Neutral(["text"])] = None
    audio: _Null = None
    web_search_options: _Null = None
    add_special_tokens: _False = None
    add_generation_prompt: _True = None
    continue_final_message: _False = None
    chat_template: _Null = None
    chat_template_kwargs: _EmptyObject = None
    documents: _EmptyList = None


class UnsupportedOfMessages(BaseModel):
    tool_calls: _EmptyList = None
    function_call: _Null = None
    audio: _Null = None
