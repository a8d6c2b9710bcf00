"""How machines of one run talk: typed messages over mutual TLS, between ends that share a secret,
and clocks that are related by asking."""
