"""Machines made of Linux namespaces (network, PID, mount, time). Needs root."""
