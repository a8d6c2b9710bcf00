"""Communication between the machines of one run: typed messages over mutual TLS between ends that
share a secret, and estimates of clock offsets."""
