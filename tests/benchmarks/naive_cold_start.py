"""Measure a cold start without pre-loading and sharing, with the usual libraries: a new
interpreter, the loaders of transformers and peft, one generated token.

    python -m tests.benchmarks.naive_cold_start RESULT.json BACKBONE ADAPTER [SAMPLES]

Reports the seconds of each stage. Each sample is a new process, from its start to its first token.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

PROMPT = 500
BEGIN = "import time; start = time.monotonic()\n"
PROGRAM = (
    BEGIN
    + """
import json, sys
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
stages, last = {}, float(sys.argv[1])
def done(stage):
    global last
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    now = time.monotonic()
    stages[stage], last = now - last, now
last, stages["warming"] = start, start - last
done("libraries")
model = AutoModelForCausalLM.from_pretrained(sys.argv[2], dtype=torch.float16, device_map="cuda")
done("backbone")
model = PeftModel.from_pretrained(model, sys.argv[3]).eval()
done("adapter")
ids = torch.randint(100, 30000, (1, int(sys.argv[4])), device="cuda")
with torch.inference_mode():
    model.generate(input_ids=ids, max_new_tokens=1, do_sample=False)
    done("first token")
    for _ in range(3):
        model.generate(input_ids=ids, max_new_tokens=1, do_sample=False)
        done("the same again")
free, total = torch.cuda.mem_get_info()
print(json.dumps({"seconds": stages, "device_bytes": total - free}))
"""
)


def sample(backbone: str, adapter: str) -> dict[str, object]:
    arguments = [str(time.monotonic()), backbone, adapter, str(PROMPT)]
    command = [sys.executable, "-c", PROGRAM, *arguments]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, object] = json.loads(said.splitlines()[-1])
    return found


def main() -> None:
    out, backbone, adapter, *rest = sys.argv[1:]
    samples = [sample(backbone, adapter) for _ in range(int(rest[0]) if rest else 3)]
    document = {"prompt_tokens": PROMPT, "samples": samples}
    Path(out).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for each in samples:
        print(json.dumps(each))


if __name__ == "__main__":
    main()
