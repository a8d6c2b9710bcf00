"""A few rows of each format, exactly as its publisher writes them, with made-up values."""

from __future__ import annotations

from pathlib import Path

MINUTES_2019 = """HashOwner,HashApp,HashFunction,Trigger,9,10,11
o1,a1,aaaa,http,2,0,1
o1,a1,bbbb,timer,0,3,0
"""

# The second call ended last and arrived first; both apps have a function with the same name.
CALLS_2021 = """app,func,end_timestamp,duration
a1,g1,0.07949090003967285,0.078
a2,g1,57.15786004066467,57.158
a1,g1,60.5,0.5
a1,g2,61.0,1e-05
"""

LLM_2023 = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:03.9799601,3180,8
2023-11-16 18:17:05,110,27
"""

LLM_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:00.017335+00:00,2399,6
2024-05-10 00:00:01+00:00,76,0
"""

BURST_6 = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
5,GPT-4,417,0,417,API log
45,ChatGPT,1087,230,1317,Conversation log
46,ChatGPT,12,3,15,Conversation log
"""

BURST_8 = """Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
5.0,s1,3.1,ChatGPT,472,18,490,Conversation log
6.5,,0.4,GPT-4,417,276,693,API log
"""  # noqa: E501

MOONCAKE = """{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, 2]}
{"timestamp": 0, "input_length": 7322, "output_length": 490, "hash_ids": [0, 14]}
{"timestamp": 3000, "input_length": 7237, "output_length": 794, "hash_ids": [0, 28]}
{"timestamp": 6001, "input_length": 2290, "output_length": 316, "hash_ids": []}
"""

_CHAT = (
    '{{"chat_id": {}, "parent_chat_id": {}, "timestamp": {}, "input_length": {}, '
    '"output_length": 132, "type": "text", "turn": {}, "hash_ids": [1089, 1090]}}\n'
)
QWEN = "".join(
    _CHAT.format(*row)
    for row in (
        (55, -1, "0.5", 21, 1),
        (56, -1, "1.25", 22, 1),
        (159, 55, "61.114", 521, 2),
        (160, 159, "70.0", 600, 3),
        (161, 7, "71.0", 600, 9),
    )
)

VIDUR = """num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio
3772,54,3826,69.85185185185185
2015,156,2171,12.916666666666666
"""

VIDUR_CLOCKED = """arrived_at,num_prefill_tokens,num_decode_tokens
0.0,374,44
4.314579,396,109
"""

SLORA = """{"req_id": 0, "model_dir": "b", "adapter_dir": "l-0", "prompt_len": 8, "output_len": 9, "req_time": 0.25}
{"req_id": 1, "model_dir": "b", "adapter_dir": "l-1", "prompt_len": 7, "output_len": 5, "req_time": 0.125}
"""  # noqa: E501

VLLM = """{"arrival_time": 1.5, "prompt_len": 8, "expected_output_len": 9, "lora_name": "x"}
{"arrival_time": 2, "prompt_len": 8, "expected_output_len": 9, "lora_name": null}
"""

PLAIN = """arrival_s,function,prompt_tokens,output_tokens
0.5,f1,12,34
0.250000001,f0,56,78
"""

SERVEGEN = """0,0.05,1.5,Gamma,0.4444444444444444,45.0
600,0,0,,0,0
1200,0.2,0.8,Weibull,1.2583,5.375
1800,1.0,3.0,Gamma,0.1111111111111111,9.0
"""

BY_FORMAT = {
    "azure-functions-2019": [MINUTES_2019],
    "azure-functions-2021": [CALLS_2021],
    "azure-llm": [LLM_2023, LLM_2024],
    "burstgpt": [BURST_6, BURST_8],
    "mooncake": [MOONCAKE],
    "qwen-bailian": [QWEN],
    "servegen": [SERVEGEN],
    "vidur": [VIDUR, VIDUR_CLOCKED],
    "request-jsonl": [SLORA, VLLM],
    "csv": [PLAIN],
}
EVERY = [(name, text) for name, texts in BY_FORMAT.items() for text in texts]


def written(folder: Path, text: str, name: str = "trace.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
