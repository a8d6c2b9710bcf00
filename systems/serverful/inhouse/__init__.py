"""Serverful systems on our own engine: a front with the HTTP endpoint, and replicas of a backbone
that batch across its adapters."""
