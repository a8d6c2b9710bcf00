"""Nodes outside the gateway's process: agents on other machines, and their links to the gateway.

    gateway ── TLS, one connection per node: actions, prompts out; events, tokens back ── agent
    node supervisor ── Ray: an actor on each machine, which starts that machine's agent ── actor

Ray finds the machines, starts agents on them and ends them; no data of a request passes through it.
Only the node supervisor and the actors import it.
"""
