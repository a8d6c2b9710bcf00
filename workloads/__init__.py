"""Workloads: functions, requests and their provenance. Independent of the systems that serve
them."""
