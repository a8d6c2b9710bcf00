"""What the probes of a card send.

Shapes of an engine that is idle are prepared within a few seconds, so a hot function is one that
was called some seconds before. Several requests come as one batch because a *lead* keeps the
instance busy until they are there: prompts whose answers end with their first token.
"""

from __future__ import annotations

from itertools import cycle

from .script import Script

PREPARED_S = 4.0
"""A first call and the preparation that follows it."""
ALL_S = 6.0
"""The same of the first function, which also loads the backbone."""
FIRST = tuple(f"f{index}" for index in range(1, 7))
"""Functions whose first call is measured, after that of f0, which needs everything."""
HOT = ("f0", "f1", "f2")
PROMPTS = (64, 128, 256, 511)
FIRST_PROMPT = 128
ROWS, LONG_ROWS = (1, 2, 4, 8, 16, 32, 64), (8, 16)
"""Requests of a batch with short and with long contexts."""
SHORT, LONG, OUTPUT = 64, 440, 33
LEADS, LEAD_S = 8, 0.03
"""Prompts of a lead, and how long after it the others come, while it is computed."""
ROUNDS = 5
CROWD, CROWD_OUTPUT = 32, 97
"""Requests of each of two instances that decode large batches at once."""
ALONE_OUTPUT, STARTED_OUTPUT, OVER_OUTPUT = 100, 300, 400
"""Of requests beside each other; of a first call beside some, and of those, which are there before
it: each ends after what happens beside it."""
STARTED = (("f7", 1), ("f8", 2), ("f9", 1), ("f10", 2))
"""Functions whose first call comes beside so many others at work."""
TAKEN = ("f1", "f2", "f3")
TAKEN_BESIDE = ("f4", "f5", "f6")
AT_ONCE = ("f3", "f4", "f5")
"""Functions whose first calls load private copies at once."""
RUNNING = 8
"""Requests that decode beside prompts: one of ``ROWS``."""
PLACES, MANY = 8, 10
"""Places of a shared instance, and its functions: more, so that adapters take turns."""
MAIN = "f0"
"""The function that most probes call."""


def shared() -> Script:
    """First calls, batches of one instance, and instances beside each other."""
    script = Script()
    first_calls(script)
    batches(script)
    beside(script)
    crowds(script)
    starts_beside(script)
    return script


def first_calls(script: Script) -> None:
    """The first step of an engine and its second load and capture a shape: answers of two and of
    three tokens have the first, or both."""
    script.send("nothing", MAIN, FIRST_PROMPT, 2)
    script.wait(ALL_S)
    for function, (part, tokens) in zip(FIRST, cycle((("two steps", 3), ("one step", 2)))):
        script.send(part, function, FIRST_PROMPT, tokens)
        script.wait(PREPARED_S)


def batches(script: Script) -> None:
    """Passes over prompts, and steps of several numbers of requests, of a hot instance."""
    for _ in range(ROUNDS):
        for prompt in PROMPTS:
            script.send("alone", MAIN, prompt, 1)
            script.wait(0.25)
        script.send("lead", MAIN, PROMPTS[-1], 1)
        script.send("two", MAIN, PROMPTS[-1], 1, times=2)
        script.wait(0.4)
    for prompt, counts in ((SHORT, ROWS), (LONG, LONG_ROWS)) * 2:
        for count in counts:
            batch(script, f"rows of {prompt}", count, prompt)


def batch(script: Script, part: str, count: int, prompt: int, functions: int = 1) -> None:
    """Send ``count`` equal requests to one or more functions of an instance as one batch."""
    script.send("lead", MAIN, PROMPTS[-1], 1, times=LEADS)
    script.wait(LEAD_S)
    for index in range(count):
        script.send(part, f"f{index % functions}", prompt, OUTPUT)
    script.wait(1.2)


def beside(script: Script) -> None:
    """Two and three instances that decode at once."""
    for _ in range(3):
        for count in (2, 3):
            for function in HOT[:count]:
                script.send("beside", function, SHORT, ALONE_OUTPUT)
            script.wait(3.0)


def crowds(script: Script) -> None:
    """Two instances that decode large batches at once."""
    for _ in range(3):
        for function in HOT[:2]:
            script.send("lead", function, PROMPTS[-1], 1, times=LEADS)
        script.wait(LEAD_S)
        for function in HOT[:2]:
            script.send("crowd", function, SHORT, CROWD_OUTPUT, times=CROWD)
        script.wait(3.0)


def starts_beside(script: Script) -> None:
    """First calls beside one and two instances that decode."""
    for function, others in STARTED:
        for other in HOT[:others]:
            script.send("others", other, SHORT, OVER_OUTPUT)
        script.wait(0.1)
        script.send("started", function, SHORT, STARTED_OUTPUT)
        script.wait(8.0)


def takeovers() -> Script:
    """Calls that a prewarmed process takes over, alone and beside one that decodes; then mixed
    passes."""
    script = Script()
    script.send("first", MAIN, SHORT, 2)
    script.wait(5.0)
    for function in TAKEN:
        script.send("alone", function, SHORT, 2)
        script.wait(5.0)
    for function in TAKEN_BESIDE:
        script.send("others", MAIN, SHORT, OVER_OUTPUT)
        script.wait(0.3)
        script.send("beside", function, SHORT, 2)
        script.wait(7.0)
    mixed(script)
    return script


def mixed(script: Script) -> None:
    """Prompts that come one at a time beside some requests that decode."""
    for _ in range(ROUNDS):
        script.send("running", MAIN, SHORT, OVER_OUTPUT, times=RUNNING)
        script.wait(0.3)
        for prompt in PROMPTS:
            script.send("mixed", MAIN, prompt, 1)
            script.wait(0.25)
        script.wait(3.0)


def pauses() -> Script:
    """Calls of a function that is parked a second after each."""
    script = Script()
    for _ in range(5):
        script.send("woken" if script.requests else "first", MAIN, SHORT, 2)
        script.wait(4.0)
    return script


def private() -> Script:
    """First calls without a template, one by one and at once."""
    script = Script()
    for function in HOT:
        script.send("alone", function, FIRST_PROMPT, 2)
        script.wait(12.0)
    for function in AT_ONCE:
        script.send("at once", function, FIRST_PROMPT, 2)
    script.wait(14.0)
    return script


def grouped() -> Script:
    """One instance of many functions: adapters parsed and copied, batches of one and of eight."""
    script = Script()
    script.send("nothing", MAIN, FIRST_PROMPT, 2)
    script.wait(ALL_S)
    for turn in ("parsed", "copied", "copied"):
        for index in range(MANY):
            script.send(turn, f"f{index}", SHORT, 2)
            script.wait(0.4)
    for index in range(PLACES):
        script.send("in place", f"f{index}", SHORT, 2)
        script.wait(0.4)
    batches(script)
    for _ in range(3):
        batch(script, "one adapter", PLACES, SHORT)
        batch(script, "many adapters", PLACES, SHORT, functions=PLACES)
    return script


def all_functions() -> Script:
    """A request of each function of a server, which measures itself before it serves."""
    script = Script()
    script.wait(1.0)
    for index in range(PLACES):
        script.send("each", f"f{index}", SHORT, 2)
    return script
