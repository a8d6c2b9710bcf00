"""Serverful systems on our own engine: a front serves the HTTP endpoint, and replicas of a backbone
run batches across its adapters."""
