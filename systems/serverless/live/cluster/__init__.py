"""Nodes beyond the gateway's process: agents on other machines, and the gateway's way to them.

    gateway ── TLS, a connection a node: actions and prompts out, events and tokens back ── agent
    steward ── Ray: an actor on each machine, which starts that machine's agent ── actor

Ray finds the machines, starts agents there and ends them; nothing of a request passes through it.
Only the steward's process and the actors' import it.
"""
