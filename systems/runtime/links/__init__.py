"""How machines of one run talk: whole messages over TCP, between ends that share a secret, and
clocks that are related by asking."""
