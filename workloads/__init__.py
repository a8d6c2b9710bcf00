"""Workloads: functions, requests, provenance. Independent of the systems that serve them."""
